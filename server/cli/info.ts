/** `xiaohe info`: which weights these are, how large, and what could compute them on this machine. */
import { availableParallelism } from 'node:os';
import { Command } from 'commander';
import { type EngineProbe, openCheckpoint, probeEngines } from '../../agent/model/index.ts';
import { checkpointOf } from './options.ts';

interface Flags {
  checkpoint?: string;
  json?: boolean;
}

/** The embedding is stored as the other matrices are, and every checkpoint has one. */
const EMBEDDING = 'model.embed_tokens.weight';
const MILLION = 1e6;

export function infoCommand(): Command {
  return new Command('info')
    .description('模型和本机能用的引擎 · the checkpoint, and the engines of this machine')
    .option('--checkpoint <dir>', 'default: XIAOHE_CHECKPOINT, else her own')
    .option('--json', 'print one JSON object')
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const checkpoint = await openCheckpoint(checkpointOf(flags));
  const { config: c, directory, sha256, parameters, activeParameters } = checkpoint;
  const about = {
    checkpoint: {
      name: c.name,
      version: c.version,
      directory,
      sha256,
      parameters,
      activeParameters,
      quantisation: checkpoint.isQuantised(EMBEDDING) ? 'Q8_0' : 'none',
      context: c.context,
      vocabulary: c.vocabulary,
      hidden: c.hidden,
      layers: c.layers,
      heads: c.heads,
      kvHeads: c.kvHeads,
      experts: c.experts,
      expertsPerToken: c.expertsPerToken,
      expertWidth: c.expertWidth,
    },
    engines: await probeEngines(checkpoint, availableParallelism()),
  };
  if (flags.json) process.stdout.write(`${JSON.stringify(about)}\n`);
  else process.stdout.write(inWords(about.checkpoint, about.engines));
}

function inWords(about: Record<string, string | number>, engines: EngineProbe[]): string {
  const millions = (count: unknown) => `${(Number(count) / MILLION).toFixed(1)} M`;
  return [
    `模型 checkpoint  ${about.name} ${about.version} · ${millions(about.parameters)} (${millions(about.activeParameters)} active) · ${about.quantisation}`,
    `目录 directory   ${about.directory}`,
    `sha256           ${about.sha256}`,
    `结构 shape       hidden ${about.hidden} · ${about.layers} layers · ${about.heads}/${about.kvHeads} heads · ` +
      `${about.experts} experts × ${about.expertWidth}, top-${about.expertsPerToken} · vocabulary ${about.vocabulary} · context ${about.context}`,
    '引擎 engines',
    ...engines.map(({ name, info, reason }) =>
      info ? `  ✓ ${name.padEnd(11)} ${info.device}${info.gpu ? ' · GPU' : ''}` : `  ✗ ${name.padEnd(11)} ${reason}`,
    ),
    '',
  ].join('\n');
}
