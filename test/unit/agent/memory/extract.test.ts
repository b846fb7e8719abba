/** What counts as teaching, sentence by sentence in both languages, and what never may. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asks, extract } from '../../../../agent/memory/index.ts';

/** Sentence → facts as `subject|relation|object`. */
const TAUGHT: [string, string[]][] = [
  // names and pets
  ['我家的猫叫豆豆', ['我家的猫|叫|豆豆']],
  ['我的猫叫豆豆。', ['我的猫|叫|豆豆']],
  ['我家的猫名字叫豆豆', ['我家的猫|叫|豆豆']],
  ['我的猫的名字是豆豆', ['我的猫|叫|豆豆']],
  ['小禾，我家的狗叫旺财！', ['我家的狗|叫|旺财']],
  ['我叫小明', ['我|叫|小明']],
  ['我的名字叫王小明', ['我|叫|王小明']],
  ['你好，我叫小红', ['我|叫|小红']],
  ['我的同桌叫刘欣雨', ['我的同桌|叫|刘欣雨']],
  ['我们班的吉祥物叫小喷泉', ['我们班的吉祥物|叫|小喷泉']],
  ['我给兔子取名叫雪球', ['我的兔子|叫|雪球']],
  ['我家有一只猫，它叫豆豆', ['我家|有|一只猫', '我家的猫|叫|豆豆']],
  ['我养了一只小狗，叫旺财', ['我|有|一只小狗', '我的小狗|叫|旺财']],
  ['我叫小明，我家的猫叫豆豆', ['我|叫|小明', '我家的猫|叫|豆豆']],
  ['告诉你，我家的乌龟叫慢慢', ['我家的乌龟|叫|慢慢']],
  ['我跟你说，我妹妹叫小雨', ['我妹妹|叫|小雨']],
  ['我家的猫叫豆豆，记住了吗？', ['我家的猫|叫|豆豆']],
  // likings
  ['我喜欢蓝色', ['我|喜欢|蓝色']],
  ['我很喜欢画画', ['我|喜欢|画画']],
  ['我最喜欢的水果是草莓', ['我最喜欢的水果|是|草莓']],
  ['我最喜欢的颜色是绿色哦', ['我最喜欢的颜色|是|绿色']],
  ['我不喜欢吃香菜', ['我|不喜欢|吃香菜']],
  ['小明喜欢恐龙', ['小明|喜欢|恐龙']],
  ['我爱吃饺子', ['我|爱吃|饺子']],
  ['我奶奶最怕打雷', ['我奶奶|最怕|打雷']],
  // age, birthday, places
  ['我今年八岁', ['我|年龄|八岁']],
  ['我8岁了', ['我|年龄|8岁']],
  ['我弟弟今年三岁', ['我弟弟|年龄|三岁']],
  ['我的生日是五月一日', ['我的生日|是|五月一日']],
  ['我8月9日过生日', ['我的生日|是|8月9日']],
  ['我住在北京', ['我|住在|北京']],
  ['我家在成都', ['我|住在|成都']],
  ['我的老家在洛阳', ['我的老家|是|洛阳']],
  ['我把画笔放在抽屉里了', ['我的画笔|放在|抽屉里']],
  ['我长大想当画家', ['我|想当|画家']],
  ['我在学弹琴', ['我|在学|弹琴']],
  // the world
  ['中国的首都是北京', ['中国的首都|是|北京']],
  ['蜘蛛有八条腿', ['蜘蛛|有|八条腿']],
  ['蜘蛛不是昆虫', ['蜘蛛|不是|昆虫']],
  ['企鹅不会飞', ['企鹅|不会|飞']],
  ['《静夜思》的作者是李白', ['《静夜思》的作者|是|李白']],
  ['“憩”是休息的意思', ['“憩”|是|休息的意思']],
  ['“猫”的英语是 cat', ['“猫”的英语|是|cat']],
  ['三加五等于八', ['三加五|等于|八']],
  ['植物需要阳光', ['植物|需要|阳光']],
  ['小红是我最好的朋友', ['小红|是|我最好的朋友']],
  ['你的生日是三月三日', ['你的生日|是|三月三日']],
  ['太阳是一颗恒星', ['太阳|是|一颗恒星']],
  // told to remember
  ['记住：明天要带雨伞', ['|note|明天要带雨伞']],
  ['教你一个知识：月亮绕着地球转', ['月亮|绕着|地球转']],
  ['教你一个新知识：铁在潮湿的地方容易生锈', ['|note|铁在潮湿的地方容易生锈']],
  ['你要记得我喜欢蓝色', ['我|喜欢|蓝色']],
  ['请记住，我家的猫叫豆豆', ['我家的猫|叫|豆豆']],
  ['小禾，你记住，我最爱的动物是熊猫', ['我最爱的动物|是|熊猫']],
  // English
  ['my cat is called Coco', ['my cat|is called|Coco']],
  ['My cat is named Coco.', ['My cat|is called|Coco']],
  ["My dog's name is Rex", ['My dog|is called|Rex']],
  ['my name is Tom', ['I|is called|Tom']],
  ["I'm Tom", ['I|is called|Tom']],
  ['I am 8 years old', ['I|age|8']],
  ["I'm eight", ['I|age|eight']],
  ['I like dinosaurs', ['I|like|dinosaurs']],
  ["I don't like peas", ['I|do not like|peas']],
  ['My favourite colour is green', ['My favourite colour|is|green']],
  ['my favorite food is pizza', ['my favorite food|is|pizza']],
  ['I have two brothers', ['I|have|two brothers']],
  ['I live in Paris', ['I|live in|Paris']],
  ['The capital of France is Paris.', ['The capital of France|is|Paris']],
  ['Spiders have eight legs', ['Spiders|have|eight legs']],
  ['A pilot flies planes.', ['A pilot|flies|planes']],
  ['Penguins cannot fly', ['Penguins|cannot|fly']],
  ['Remember that koalas sleep all day', ['|note|koalas sleep all day']],
  ['Let me teach you something: the moon is smaller than the earth', ['the moon|is|smaller than the earth']],
  ['My birthday is on May 12', ['My birthday|is|on May 12']],
  ["Ella's hat is in the box", ["Ella's hat|is|in the box"]],
  ['My name is Tom and my cat is called Coco', ['I|is called|Tom', 'my cat|is called|Coco']],
  ['Hi Xiaohe, my turtle is called Flash!', ['my turtle|is called|Flash']],
];

const NOT_TAUGHT = [
  // questions
  ...[
    '我家的猫叫什么',
    '我家的猫叫什么名字？',
    '你知道我叫什么吗',
    '我的猫叫豆豆吗',
    '我的猫是不是叫豆豆',
    '我家的猫叫豆豆，对吗？',
  ],
  ...[
    '我喜欢什么颜色',
    '蜘蛛有几条腿',
    '中国的首都是哪里',
    '谁是你的老师',
    '你喜欢蓝色吗？',
    '我家有几口人',
    '你叫什么名字呀',
  ],
  ...[
    '还记得我的生日是哪天吗',
    '这不是你的吗',
    '你不是说你会画画吗',
    '我家的猫叫豆豆吧',
    '“憩”是什么意思',
    '月亮是行星？',
  ],
  // greetings and small talk
  ...[
    '你好',
    '早上好呀',
    '晚安',
    '谢谢你',
    '哈哈哈',
    '好的',
    '嗯',
    '再见',
    '我回来了',
    '我要睡觉了',
    '明天放假',
    '今天好热',
    '我有点累',
  ],
  ...[
    '今天天气真好',
    '我吃饭了',
    '我写完作业了',
    '我会了',
    '我知道了',
    '我是来找你玩的',
    '我喜欢你',
    '我爱你',
    '我有一个问题',
    '我有事',
  ],
  ...[
    '你真聪明',
    '你是最棒的',
    '你是机器人',
    '这是我画的',
    '那是我的',
    '它很可爱',
    '真的是太好了',
    '没有啊',
    '是的',
    '不是',
  ],
  // commands
  ...[
    '给我讲一个故事',
    '画一只叫豆豆的猫',
    '写一首关于春天的诗',
    '唱首歌吧',
    '帮我想个名字',
    '猜猜我是谁',
    '我们来玩吧',
    '请你背一首诗',
  ],
  ...['对下联：春风得意马蹄疾', '教我一个新词', '不要叫我小明'],
  // suppositions, reports, thoughts, quotations
  ...['如果我有一只猫，它叫豆豆', '假装我叫公主', '要是月亮是方的就好了', '比如我的猫叫豆豆', '从前有一只猫叫豆豆'],
  ...[
    '妈妈说我家的猫叫豆豆',
    '他说：“我叫小明”',
    '我觉得他是好人',
    '听说蜘蛛有十条腿',
    '我梦见我有一只龙',
    '老师问我叫什么',
    '我猜你是小狗',
  ],
  ...['妈妈叫我吃饭', '爸爸叫他回家', '我叫你别动'],
  // pasted material
  ...[
    '> 我家的猫叫豆豆',
    'https://example.org 我叫小明',
    '```\n我叫小明\n```',
    'system: 我叫小明',
    '<b>我叫小明</b>',
    `我叫小明。${'很长的课文。'.repeat(60)}`,
  ],
  // private data
  ...[
    '我叫小明，我的电话是13812345678',
    '我的密码是abc123',
    '我住在和平路12号',
    'my password is hunter2',
    'I live at 12 Baker Street',
  ],
  // English
  ...[
    'What is my cat called?',
    'what is my name',
    'Is my cat called Coco?',
    'Do I like green?',
    'hello',
    'Hi Xiaohe!',
    'good night',
    'thank you',
  ],
  ...[
    'Tell me a story',
    'write a poem about spring',
    'Sing a song.',
    "let's play",
    'I like you',
    'I like it',
    'I have a question',
    'I have to go',
  ],
  ...[
    'I am tired',
    "I'm happy",
    'It is raining',
    'That is wrong',
    'You are funny',
    'This is my cat',
    'If my cat is called Coco',
    'Imagine my name is Tom',
  ],
  ...[
    'He said my cat is called Coco',
    'I think the moon is cheese',
    'Maybe spiders have ten legs',
    'My cat is called Coco, right?',
    "I'd like a poem",
  ],
  ...['Today is sunny', 'Can you remember my name', 'My question is hard'],
];

function found(text: string): string[] {
  return extract(text).statements.map(({ subject, relation, object }) => `${subject}|${relation}|${object}`);
}

describe('extraction', () => {
  it.each(TAUGHT)('learns from: %s', (text, facts) => {
    expect(found(text)).toEqual(facts);
  });

  it.each(NOT_TAUGHT)('learns nothing from: %s', (text) => {
    expect(extract(text)).toEqual({ statements: [] });
  });

  it('keeps the statement as it was said, without what led up to it', () => {
    expect(extract('小禾，告诉你，我家的猫叫豆豆。').statements[0]).toMatchObject({
      text: '我家的猫叫豆豆',
      lang: 'zh',
    });
    expect(extract('Hey Xiaohe, my cat is called Coco!').statements[0]).toMatchObject({
      text: 'my cat is called Coco',
      lang: 'en',
    });
  });

  it.each([
    ['不对，我家的猫叫花花', '我家的猫叫花花'],
    ['其实我家的猫叫花花', '我家的猫叫花花'],
    ['我说错了，我家的猫叫花花', '我家的猫叫花花'],
    ['你记错了。我最喜欢的颜色是红色', '我最喜欢的颜色是红色'],
    ['我家的猫不叫豆豆，叫花花', '我家的猫叫花花'],
    ['我家的猫改名叫花花了', '我家的猫改名叫花花'],
    ['更正：蜘蛛有八条腿', '蜘蛛有八条腿'],
    ['Actually, my cat is called Milo', 'my cat is called Milo'],
    ["That's wrong. My cat is called Milo", 'My cat is called Milo'],
    ['No, the capital of France is Paris', 'the capital of France is Paris'],
  ])('sees a correction: %s', (text, statement) => {
    expect(extract(text).statements).toMatchObject([{ text: statement, correction: true }]);
  });

  it.each([
    ['不对，叫花花', { relation: '叫', object: '花花' }],
    ['不对，是红色', { object: '红色' }],
    ['错了，改成花花', { object: '花花' }],
    ["Actually, it's called Milo", { relation: 'is called', object: 'Milo' }],
  ])('leaves the subject open where it was left out: %s', (text, amendment) => {
    expect(extract(text)).toEqual({ statements: [], amendment });
  });

  it('never throws, never makes a fact of nothing, and never takes more than five', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'grapheme', maxLength: 400 }), words()), (text) => {
        const { statements } = extract(text);
        expect(statements.length).toBeLessThanOrEqual(5);
        for (const statement of statements) {
          expect(statement.object.trim()).not.toBe('');
          expect(statement.text.length).toBeLessThanOrEqual(text.length + 12);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('learns nothing from a statement turned into a question', () => {
    const asked = TAUGHT.filter(([, facts]) => facts.length === 1).map(([text]) =>
      text.replace(/[。.！!？?，].*$/u, ''),
    );
    for (const text of asked) {
      for (const question of [`${text}吗？`, `${text}？`, `${text}，对吗？`, `${text}, right?`]) {
        expect(extract(question).statements, question).toEqual([]);
        expect(asks(question)).toBe(true);
      }
    }
  });
});

/** Sentences of the words that the patterns look for, in any order: likelier to reach odd paths than plain noise. */
function words() {
  return fc
    .array(
      fc.constantFrom(
        '我',
        '的',
        '猫',
        '叫',
        '是',
        '有',
        '不',
        '，',
        '。',
        '？',
        '记住',
        '其实',
        '“',
        '”',
        '：',
        'my',
        ' is ',
        ' called ',
        'not ',
        '八',
        '条',
        '岁',
        '\n',
        '喜欢',
        '它',
      ),
      { maxLength: 24 },
    )
    .map((parts) => parts.join(''));
}
