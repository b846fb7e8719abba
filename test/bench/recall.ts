/**
 * Recall as a turn does it (agent/memory on the embedded Postgres), at growing numbers of facts in one class: the 95th
 * percentile of its time, and how often the fact that was asked for is among those recalled. Facts are taught in people's
 * words through the same extraction as in talk.
 */
import { extract, learn, recall } from '../../agent/memory/index.ts';
import { randomFrom } from '../../agent/model/sampling.ts';
import { openMindDatabase, type Speaker } from '../support/mind-database.ts';
import type { BenchOptions, Row } from './main.ts';
import { percentile, rounded } from './samples.ts';

/** Facts in the room. `--facts 100000` measures further; filling the table then takes minutes. */
const FACTS = [1_000, 5_000, 20_000];
const QUESTIONS = 200;
/** Facts stored in one transaction. */
const LESSON = 500;

const SURNAMES = [...'赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜'];
const GIVEN = [...'明红华强丽芳军杰敏静磊洋勇艳娟涛超霞平刚桂英梅兰竹菊春秋云峰林森波海燕鹏'];
const THINGS = [
  ['喜欢吃', '喜欢吃什么', '苹果 西瓜 饺子 面条 包子 草莓 米饭 鱼 鸡蛋 豆腐 月饼 粽子'],
  ['的生日是', '的生日是哪天', '一月三日 二月五日 三月八日 四月九日 五月一日 六月六日 七月七日 八月二日 九月十日'],
  ['养了一只', '养了什么', '猫 狗 兔子 乌龟 鹦鹉 仓鼠 金鱼 刺猬'],
  ['住在', '住在哪里', '北京 上海 广州 成都 西安 南京 杭州 武汉 长沙 昆明'],
  ['最喜欢的颜色是', '最喜欢的颜色是什么', '红色 黄色 蓝色 绿色 白色 紫色 橙色'],
] as const;

interface Taught {
  text: string;
  question: string;
}

/** Distinct sentences: every child of a large school with every kind of fact, in a fixed order. */
function* sentences(): Generator<Taught> {
  const random = randomFrom(1);
  const pick = (from: readonly string[]) => from[Math.floor(random() * from.length)]!;
  for (const first of GIVEN)
    for (const second of GIVEN)
      for (const surname of SURNAMES)
        for (const [verb, ask, objects] of THINGS) {
          const name = `${surname}${first}${second}`;
          yield { text: `${name}${verb}${pick(objects.split(' '))}`, question: `${name}${ask}？` };
        }
}

export async function* rows({ facts }: BenchOptions): AsyncGenerator<Row> {
  const mind = await openMindDatabase('embedded');
  try {
    const teacher: Speaker = await mind.person('王老师');
    const scope = await mind.room();
    const message = await mind.message(scope, teacher, '上课');
    const question = await mind.message(scope, teacher, '提问');
    const source = sentences();
    const taught: Taught[] = [];
    const random = randomFrom(2);
    for (const size of facts ? [facts] : FACTS) {
      while (taught.length < size) {
        const lesson = Array.from({ length: Math.min(LESSON, size - taught.length) }, () => source.next().value);
        const known = lesson.filter((item): item is Taught => item !== undefined);
        if (known.length === 0) throw new RangeError(`there are no ${size} different facts`);
        const statements = known.flatMap(({ text }) => extract(text).statements);
        const now = new Date();
        await learn(mind.db, { scope, teacher, message, saidAt: now, learnedAt: now }, { statements });
        taught.push(...known);
      }
      const times: number[] = [];
      let found = 0;
      for (let i = 0; i < QUESTIONS; i++) {
        const { text, question: asked } = taught[Math.floor(random() * taught.length)]!;
        const began = performance.now();
        const recalled = await recall(mind.db, { scope, speaker: teacher.id, text: asked, message: question });
        times.push(performance.now() - began);
        if (recalled.some((fact) => fact.text === text)) found++;
      }
      const note = `${taught.length} facts in one room, embedded database`;
      yield { name: `recall/p95/${size}`, unit: 'ms', ours: rounded(percentile(times, 0.95)), runs: QUESTIONS, note };
      yield { name: `recall/median/${size}`, unit: 'ms', ours: rounded(percentile(times, 0.5)), runs: QUESTIONS };
      yield { name: `recall/found/${size}`, unit: '%', ours: rounded((100 * found) / QUESTIONS), runs: QUESTIONS };
    }
  } finally {
    await mind.remove();
  }
}
