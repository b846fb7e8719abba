/** What a person at the terminal reads: one banner when she is ready, one plain paragraph when something is wrong. */
import type { ModelInfo } from '../agent/model/index.ts';
import { codeOf, wordError } from './errors.ts';

const MILLION = 1_000_000;

export function banner(about: {
  url: string;
  model: ModelInfo | undefined;
  age: number;
  database: string;
  seconds: number;
}): string {
  const { model } = about;
  const lines: [string, string][] = [
    ['地址 address', about.url],
    ...(model
      ? ([
          ['引擎 engine', `${model.engine.name} · ${model.engine.device}${gpuInWords(model)}`],
          ['模型 model', `${model.checkpoint.name} ${model.checkpoint.version}${sizeInWords(model)}`],
        ] satisfies [string, string][])
      : []),
    ['数据 database', about.database],
  ];
  const body = lines.map(([label, value]) => `  ${label}${' '.repeat(Math.max(1, 16 - width(label)))}${value}`);
  return [
    '',
    model
      ? `  小禾 Xiaohe · 课程年龄 ${about.age} 岁 · curriculum age ${about.age} · ready in ${about.seconds.toFixed(1)} s`
      : '  小禾 Xiaohe · 模型没有加载，她还不能回答；写下的话会保存 · no model loaded: she cannot answer, what is written is kept',
    ...body,
    '  停止 stop       Ctrl+C',
    '',
  ].join('\n');
}

/** What computes on another machine is not known here. */
function gpuInWords({ engine }: ModelInfo): string {
  if (engine.name === 'remote') return '';
  return engine.gpu ? ' · GPU' : ' · no GPU';
}

/** Nothing, where a remote server does not say. */
function sizeInWords({ checkpoint: { parameters, activeParameters, sha256 } }: ModelInfo): string {
  const millions = (count: number) => `${(count / MILLION).toFixed(1)} M`;
  const active = activeParameters > 0 ? ` (${millions(activeParameters)} active)` : '';
  return `${parameters > 0 ? ` · ${millions(parameters)}${active}` : ''}${sha256 && ` · ${sha256.slice(0, 12)}`}`;
}

/** Han characters take two columns of a terminal. */
function width(text: string): number {
  return [...text].reduce((sum, char) => sum + (/\p{Script=Han}/u.test(char) ? 2 : 1), 0);
}

/** An error at boot, for the person who started the server: the words of its code, then the detail an engineer needs. */
export function bootFailure(error: unknown): string {
  const code = codeOf(error);
  const { zh, en } = wordError(code).message;
  const detail = error instanceof Error ? error.message : String(error);
  return `\n[${code}] ${zh}\n[${code}] ${en}\n${detail === en ? '' : `  ${detail}\n`}`;
}
