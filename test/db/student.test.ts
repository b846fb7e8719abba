/**
 * Whole turns of the student with the real model on both databases: what she is taught comes back, verse keeps its form,
 * Stop stops, and every turn leaves its rows. What she says is not judged here: any checkpoint must pass.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createStudent, type Student, type Turn, type TurnEvent } from '../../agent/index.ts';
import { type Model, openModel, SHIPPED_CHECKPOINT } from '../../agent/model/index.ts';
import { DATABASES } from '../support/databases.ts';
import { type MindDatabase, openMindDatabase, type Speaker } from '../support/mind-database.ts';

type End = Extract<TurnEvent, { type: 'end' }>;

describe.each(DATABASES)('a turn on %s', (name) => {
  let mind: MindDatabase;
  let model: Model;
  let student: Student;
  let ming: Speaker;
  let room: string;

  beforeAll(async () => {
    [mind, model] = await Promise.all([
      openMindDatabase(name),
      openModel({ checkpoint: SHIPPED_CHECKPOINT, engine: 'auto', threads: 1 }),
    ]);
    student = createStudent({ model, db: mind.db });
    ming = await mind.person('小明');
    room = await mind.room(ming);
  });
  afterAll(async () => {
    await model?.close();
    await mind?.remove();
  });

  async function turn(text: string, changes: Partial<Turn> = {}): Promise<Turn> {
    const scope = changes.scope ?? room;
    const message = await mind.message(scope, changes.speaker ?? ming, text);
    return {
      generation: await mind.generation(scope, message),
      scope,
      speaker: ming,
      shared: false,
      message: { id: message, text, sentAt: new Date() },
      history: [],
      signal: new AbortController().signal,
      sampling: { seed: 7 },
      ...changes,
    };
  }
  async function run(
    asked: Turn,
  ): Promise<{ events: TurnEvent[]; text: string; end: End; row: Record<string, unknown> }> {
    const events: TurnEvent[] = [];
    for await (const event of student.turn(asked)) events.push(event);
    const end = events.at(-1) as End;
    const text = events.flatMap((event) => (event.type === 'delta' ? [event.text] : [])).join('');
    const { rows } = await mind.db.query('select * from turns where generation = $1', [asked.generation]);
    expect(rows).toHaveLength(1);
    return { events, text, end, row: rows[0] };
  }
  const kinds = (events: TurnEvent[]) =>
    events.map((event) => event.type).filter((type, i, all) => type !== all[i - 1]);

  it('learns, remembers in a later turn, and writes both down', async () => {
    const taught = await run(await turn('我家的猫叫豆豆'));
    expect(kinds(taught.events)).toEqual(['learned', 'start', 'delta', 'end']);
    expect(taught.events[0]).toMatchObject({ facts: [{ text: '我家的猫叫豆豆', teacher: '小明' }] });
    expect(taught.end).toMatchObject({ status: 'done', text: taught.text });
    expect(taught.row).toMatchObject({
      outcome: 'taught',
      skill: 'chat',
      facts_learned: 1,
      facts_recalled: 0,
      checkpoint_sha: model.info.checkpoint.sha256,
    });

    const asked = await turn('我家的猫叫什么');
    const recalled = await run(asked);
    expect(kinds(recalled.events)).toEqual(['start', 'recall', 'delta', 'end']);
    const { facts } = recalled.events[1] as Extract<TurnEvent, { type: 'recall' }>;
    expect(facts).toEqual([
      {
        id: expect.any(String),
        text: '我家的猫叫豆豆',
        teacher: '小明',
        saidAt: expect.any(Date),
        message: expect.any(String),
      },
    ]);
    expect(recalled.row).toMatchObject({
      facts_recalled: 1,
      speaker: ming.id,
      scope: room,
      energy_measured: recalled.end.energy.measured,
    });
    expect(recalled.row.outcome).toBe(recalled.text.includes('豆豆') ? 'recalled' : 'chat');
    expect(recalled.end.usage.promptTokens).toBeGreaterThan(taught.end.usage.promptTokens);
    const rows = await mind.db.query('select fact, rank from recalls where generation = $1', [asked.generation]);
    expect(rows.rows).toEqual([{ fact: facts[0]!.id, rank: 1 }]);
  });

  it('puts into the prompt what it shows, and nothing of another room', async () => {
    const other = await mind.room();
    await run(await turn('我们班的暗号是芝麻开门', { scope: other, shared: true }));
    const { events } = await run(await turn('我们班的暗号是什么'));
    expect(kinds(events)).toEqual(['start', 'delta', 'end']);
  });

  it('answers a couplet in form, with its report', async () => {
    const { events, text, end, row } = await run(await turn('对下联：绿水本无忧，因风皱面'));
    expect(kinds(events)).toEqual(['start', 'delta', 'verse', 'end']);
    expect([...text]).toHaveLength(10);
    expect([...text][5]).toBe('，');
    expect(events.find((event) => event.type === 'verse')).toMatchObject({
      report: {
        rules: expect.arrayContaining([
          { id: 'length', ok: true },
          { id: 'ending', ok: true },
        ]),
      },
    });
    expect(row).toMatchObject({ outcome: 'verse', skill: 'couplet' });
    expect(end.text).toBe(text);
  });

  it('writes a quatrain in form', async () => {
    const { text, row } = await run(await turn('大海', { skill: 'poem' }));
    expect(text).toMatch(/^\p{Script=Han}{5}，\p{Script=Han}{5}。\n\p{Script=Han}{5}，\p{Script=Han}{5}。$/u);
    expect(row).toMatchObject({ outcome: 'verse', skill: 'poem' });
  });

  it('stops in the middle and keeps what was said', async () => {
    const stop = new AbortController();
    const asked = await turn('讲一个很长很长的故事', { signal: stop.signal });
    let said = '';
    let end: End | undefined;
    for await (const event of student.turn(asked)) {
      if (event.type === 'delta') {
        said += event.text;
        stop.abort();
      } else if (event.type === 'end') end = event;
    }
    expect(end).toMatchObject({ status: 'stopped', text: said });
    expect(said).not.toBe('');
    const { rows } = await mind.db.query('select outcome from turns where generation = $1', [asked.generation]);
    expect(rows).toEqual([{ outcome: 'stopped' }]);
  });

  it('stops before the first word', async () => {
    for (const text of ['你好', '对下联：春回大地']) {
      const { events, end } = await run(await turn(text, { signal: AbortSignal.abort() }));
      expect(kinds(events)).toEqual(['start', 'end']);
      expect(end).toMatchObject({ status: 'stopped', text: '' });
    }
  });

  it('remembers nothing of what the filter notices, and still answers', async () => {
    const { events, row } = await run(await turn('我叫小刚，我的电话是13812345678'));
    expect(kinds(events)).toEqual(['notice', 'start', 'delta', 'end']);
    expect(events[0]).toEqual({ type: 'notice', code: 'SAFETY_PRIVATE_DATA' });
    expect(row).toMatchObject({ facts_learned: 0 });
    const sad = await run(await turn('我不想活了'));
    expect(sad.events[0]).toEqual({ type: 'notice', code: 'SAFETY_DISTRESS' });
    expect(sad.text).not.toBe('');
    const { rows } = await mind.db.query(`select text from facts where text like '%小刚%' or text like '%138%'`);
    expect(rows).toEqual([]);
  });

  it('answers with a long history, a long message, and many speakers', async () => {
    const history: Turn['history'] = Array.from({ length: 40 }, (_, i) => ({
      role: i % 2 ? 'student' : 'person',
      name: '小明',
      text: `第${i}句话，${'说了很多'.repeat(20)}`,
    }));
    const { end } = await run(await turn(`${'很长的话。'.repeat(700)}你好吗？`, { history, shared: true }));
    expect(end.status).toBe('done');
    expect(end.usage.promptTokens).toBeLessThan(600);
  });

  it('is the same reply for the same seed', async () => {
    const [first, second] = [await run(await turn('你好')), await run(await turn('你好'))];
    expect(second.text).toBe(first.text);
  });

  it('passes on a model that breaks, and writes the failure down', async () => {
    const asked = await turn('你好');
    const broken: Model = {
      ...model,
      info: model.info,
      // biome-ignore lint/correctness/useYield: a generator that fails before its first word
      async *generate() {
        throw Object.assign(new Error('gone'), { code: 'ENGINE_CRASHED' });
      },
    };
    const failing = createStudent({ model: broken, db: mind.db });
    await expect(async () => {
      for await (const _ of failing.turn(asked));
    }).rejects.toMatchObject({ code: 'ENGINE_CRASHED' });
    const { rows } = await mind.db.query('select outcome from turns where generation = $1', [asked.generation]);
    expect(rows).toEqual([{ outcome: 'failed' }]);
  });
});
