/**
 * One turn of the student: perceive → recall → think → answer → remember. Effects (database, model, meter) meet here and
 * nowhere else in the mind; everything that decides is a pure function in the folders beside.
 */
import { energyOf, startMeter } from './energy.ts';
import { asks, asksAboutHer, extract, learn, type RecalledFact, recall, recordRecall } from './memory/index.ts';
import { asRemote, type Model, ModelError, type Sampling, XiaoheChatModel } from './model/index.ts';
import {
  fitWindow,
  GUEST_REACH,
  guestPrompt,
  inLanguage,
  languageOf,
  type Said,
  systemPrompt,
  userPrompt,
} from './persona/index.ts';
import { type Outcome, recordTurn, saysUnknown } from './progress.ts';
import { mayBeSaid, screenIncoming } from './safety/index.ts';
import { type ChosenSkill, chooseSkill, type ReplyUsage, type SkillRequest } from './skills/index.ts';
import { createToolbox } from './tools/index.ts';
import type { Database, Fact, Student, Turn, TurnEvent } from './types.ts';

export interface StudentParts {
  model: Model;
  db: Database;
  /** Now, for tests of time. */
  clock?: () => Date;
  log?: (level: 'info' | 'warn' | 'error', message: string, fields?: Record<string, unknown>) => void;
}

/** Curriculum age of the shipped checkpoint, years; exams will move it. */
const AGE = 6;

/** Free talk: only as warm as a checkpoint this small stands before it raves; the penalty keeps it from looping. */
const TALK: Sampling = { temperature: 0.4, topK: 40, topP: 0.9, minP: 0.05, repetitionPenalty: 1.1 };
/** Just taught something, the right words are known: cool, and free to say them again (no penalty for repeating). */
const RESTATE: Sampling = { temperature: 0.3, topK: 20, topP: 0.9, minP: 0.05, repetitionPenalty: 1 };

/** A large model from elsewhere: what Qwen3's authors recommend for talk without thinking aloud. */
const GUEST: Sampling = { temperature: 0.7, topK: 20, topP: 0.8, minP: 0, repetitionPenalty: 1 };

const NO_USAGE: ReplyUsage = { promptTokens: 0, completionTokens: 0, firstTokenMs: 0, computeMs: 0 };

export function createStudent({ model, db, clock = () => new Date(), log = () => {} }: StudentParts): Student {
  const chat = new XiaoheChatModel({ model });
  const cores = Math.max(1, model.info.engine.threads);
  const remote = asRemote(model);
  /** A large model that never was her: it is told who she is, and may use tools. */
  const guest = remote && !remote.own ? remote : undefined;

  async function* turn(turn: Turn): AsyncGenerator<TurnEvent, void, undefined> {
    const started = performance.now();
    const meter = await startMeter();
    const { message, scope, speaker } = turn;
    const notices = screenIncoming(message.text);
    const skill = chooseSkill(message.text, turn.skill, clock());
    let learned: Fact[] = [];
    let recalled: RecalledFact[] = [];
    let text = '';
    let usage = NO_USAGE;
    let status: 'done' | 'stopped' | 'withheld' = 'done';
    try {
      // What worries the filter is not remembered, and verse is not a lesson.
      if (notices.length === 0 && skill.name === 'chat') {
        const lesson = { scope, teacher: speaker, message: message.id, saidAt: message.sentAt, learnedAt: clock() };
        learned = await learn(db, lesson, extract(message.text));
        if (learned.length > 0) yield { type: 'learned', facts: learned.map(toFact) };
      }
      for (const code of notices) yield { type: 'notice', code };
      yield { type: 'start', skill: skill.name };
      if (skill.name === 'chat' && (learned.length === 0 || asks(message.text))) {
        recalled = await recall(db, { scope, speaker: speaker.id, text: message.text, message: message.id });
        if (recalled.length > 0) yield { type: 'recall', facts: recalled.map(toFact) };
      }

      // Her own stop, so that a withheld reply stops computing too.
      const stop = new AbortController();
      const signal = AbortSignal.any([turn.signal, stop.signal]);
      // A guest is told what a good answer is, and answers once.
      const prefer = skill.name === 'chat' && !guest ? preferenceOf(message.text, learned, recalled) : undefined;
      // Verse and careful answers bring sampling of their own.
      const free = skill.name === 'chat' && !prefer;
      const manner = guest ? GUEST : learned.length > 0 ? RESTATE : TALK;
      const sampling = { ...(free && manner), ...turn.sampling };
      const mayRemember = notices.length === 0;
      const brain = guest && { remote: guest, toolbox: createToolbox({ db, turn, clock, mayRemember }) };
      const how = { sampling, signal, ...(prefer && { prefer }), ...(brain && { brain }) };
      for await (const event of answer(turn, skill, { recalled, learned }, how)) {
        if (event.type === 'end') {
          usage = event.usage;
          if (status === 'done' && event.stopped) status = 'stopped';
        } else if (event.type === 'verse') yield event;
        else if (event.type === 'recall') {
          recalled = rerank([...recalled, ...event.facts]);
          yield { type: 'recall', facts: recalled.map(toFact) };
        } else if (event.type === 'learned') {
          learned = [...learned, ...event.facts];
          yield { type: 'learned', facts: learned.map(toFact) };
        } else if (status !== 'withheld') {
          text += event.text;
          if (mayBeSaid(text)) yield event;
          else {
            status = 'withheld';
            stop.abort();
          }
        }
      }
    } catch (error) {
      await record('failed');
      throw error;
    }
    const { full, energy } = await record(outcomeOf(status, skill, learned, recalled, text));
    yield { type: 'end', status, text: status === 'withheld' ? '' : text, usage: full, energy };

    /** The reply is worth more than its bookkeeping: a row that cannot be written is logged, not thrown at the reader. */
    async function record(outcome: Outcome) {
      const { computeMs, ...tokens } = usage;
      const full = { ...tokens, totalMs: performance.now() - started };
      // This machine's counters say nothing of what another machine spent.
      const energy = energyOf(remote ? null : await meter.read(), remote ? 0 : computeMs, cores);
      const row = {
        generation: turn.generation,
        scope,
        speaker: speaker.id,
        skill: skill.name,
        outcome,
        learned: learned.length,
        recalled: recalled.length,
        usage: full,
        energy,
      };
      const written = await Promise.allSettled([
        recordRecall(db, turn.generation, recalled, clock()),
        recordTurn(db, model.info, row, clock()),
      ]);
      for (const result of written)
        if (result.status === 'rejected')
          log('error', 'a turn could not be recorded', { generation: turn.generation, error: String(result.reason) });
      return { full, energy };
    }
  }

  /** The reply's events. A window too long for this checkpoint is tried again without history. */
  async function* answer(
    turn: Turn,
    skill: ChosenSkill,
    { recalled, learned }: { recalled: RecalledFact[]; learned: Fact[] },
    how: Pick<SkillRequest, 'sampling' | 'signal' | 'prefer' | 'brain'>,
  ) {
    const { message, speaker, shared } = turn;
    const before = turn.history.findLast(({ role, text }) => role === 'person' && /\p{L}/u.test(text));
    const language = languageOf(message.text, before && languageOf(before.text));
    const system = guest
      ? guestPrompt(language, AGE, { recalled, learned, tools: guest.canCallTools !== false && skill.name === 'chat' })
      : systemPrompt(language, AGE, recalled);
    const current = skill.prompt ?? userPrompt(message.text, speaker.name, shared);
    // Verse is asked for by itself, as it was trained.
    const spoken = guest ? turn.history : inLanguage(turn.history, language);
    const history = skill.prompt === undefined ? spoken.map((said) => toSaid(said, shared)) : [];
    for (const window of [history, []]) {
      const messages = await fitWindow(system, window, current, model.info.checkpoint.context, guest && GUEST_REACH);
      try {
        yield* skill.reply({ model, chat, messages, person: speaker.id, ...how });
        return;
      } catch (error) {
        if (!(error instanceof ModelError) || error.code !== 'CONTEXT_TOO_LONG' || window.length === 0) throw error;
      }
    }
  }

  return { age: AGE, turn };
}

/** Each fact once, ranked in the order in which it came to mind. */
function rerank(facts: readonly RecalledFact[]): RecalledFact[] {
  return [...new Map(facts.map((fact) => [fact.id, fact])).values()].map((fact, i) => ({ ...fact, rank: i + 1 }));
}

function names(reply: string, { object }: RecalledFact): boolean {
  return object !== '' && reply.toLowerCase().includes(object.toLowerCase());
}

/** What a good answer does: it names what was recalled; where nothing was, and it was asked for, it says so. */
function preferenceOf(
  text: string,
  learned: Fact[],
  recalled: RecalledFact[],
): ((reply: string) => boolean) | undefined {
  if (recalled.length > 0) return (reply) => recalled.some((fact) => names(reply, fact));
  if (learned.length === 0 && asks(text) && !asksAboutHer(text)) return saysUnknown;
  return undefined;
}

function toFact({ id, text, teacher, saidAt, message }: Fact): Fact {
  return { id, text, teacher, saidAt, message };
}

function toSaid(said: Turn['history'][number], shared: boolean): Said {
  return { role: said.role, text: said.role === 'person' ? userPrompt(said.text, said.name, shared) : said.text };
}

/** What kind of turn this was, judged by what happened and not by what was hoped for. */
function outcomeOf(
  status: 'done' | 'stopped' | 'withheld',
  skill: ChosenSkill,
  learned: Fact[],
  recalled: RecalledFact[],
  text: string,
): Outcome {
  if (status !== 'done') return status;
  if (skill.name !== 'chat') return 'verse';
  if (learned.length > 0) return 'taught';
  // Recalled counts only when the reply really says what was remembered.
  if (recalled.some((fact) => names(text, fact))) return 'recalled';
  return recalled.length === 0 && saysUnknown(text) ? 'unknown' : 'chat';
}
