/**
 * Derives `table.ts` from the Guangyun (the rhyme book of 1008, package tshet-uinh) written in today's simplified
 * characters (opencc-js). Not for run time: it takes half a second and two packages to make thirty lines. A test derives
 * the table again and compares.
 *
 *   npx tsc && node dist/agent/skills/prosody/derive.js > agent/skills/prosody/table.ts && npx biome format --write agent/skills/prosody/table.ts
 */
import { argv } from 'node:process';
import { pathToFileURL } from 'node:url';

/** The 57 level rhymes of the Guangyun merged into the 30 of 平水韵 (Liu Yuan, 1252), by the rule of rhymes "used together". */
export const MERGED: Record<string, string> = {
  东: '東',
  冬: '冬鍾',
  江: '江',
  支: '支脂之',
  微: '微',
  鱼: '魚',
  虞: '虞模',
  齐: '齊',
  佳: '佳皆',
  灰: '灰咍',
  真: '真諄臻',
  文: '文欣',
  元: '元魂痕',
  寒: '寒桓',
  删: '刪山',
  先: '先仙',
  萧: '蕭宵',
  肴: '肴',
  豪: '豪',
  歌: '歌戈',
  麻: '麻',
  阳: '陽唐',
  庚: '庚耕清',
  青: '青',
  蒸: '蒸登',
  尤: '尤侯幽',
  侵: '侵',
  覃: '覃談',
  盐: '鹽添嚴',
  咸: '咸銜凡',
};

/**
 * Simplified characters that took over the shape of an old, unrelated one (虫 is now 蟲; the old 虫 was a viper). Their
 * old readings would make them fit everywhere, so only the readings of what they stand for today count.
 */
const TAKEN_OVER = new Set('虫蚕坏机听厂广宁体胜适怜灯价亏腊洒吁蜡柜怀极叶伙忏拥补');

/** Characters that the Guangyun writes another way, by today's form. */
const WRITTEN_OTHERWISE: Record<string, string> = Object.fromEntries(
  '间閒 窗窻 魂䰟 匆悤 剑劒 韩𩏑 享亯 嗅齅 拿拏 撑橕 婿壻 胸胷 晰皙 碗椀 鞍鞌 菇菰 稿稾 耗秏 棕椶 砖甎 爷耶 磁礠 狠很 拆坼 垄壠 辆兩 裙帬 橱廚 熔鎔 舱倉 账帳 琉瑠 做作'
    .split(' ')
    .map((pair) => [...pair].reverse()),
);

/** GB 2312: the 6,763 characters in common use; a model's verse needs no others. */
function commonCharacters(): Set<string> {
  const decoder = new TextDecoder('gb2312');
  const chars = new Set<string>();
  for (let row = 0xb0; row <= 0xf7; row++)
    for (let cell = 0xa1; cell <= 0xfe; cell++) {
      const char = decoder.decode(Uint8Array.of(row, cell));
      if (/^\p{Script=Han}$/u.test(char)) chars.add(char);
    }
  return chars;
}

/** Characters by level rhyme, and all that have an oblique reading. */
export async function derive(): Promise<{ level: Record<string, string>; oblique: string }> {
  const [{ default: qieyun }, { Converter }] = await Promise.all([import('tshet-uinh'), import('opencc-js')]);
  const simplify = Converter({ from: 't', to: 'cn' });
  const common = commonCharacters();
  const classOf = new Map(
    Object.entries(MERGED).flatMap(([name, rhymes]) => [...rhymes].map((rhyme) => [rhyme, name])),
  );
  const level = Object.fromEntries(Object.keys(MERGED).map((name) => [name, new Set<string>()]));
  const oblique = new Set<string>();
  for (const entry of qieyun.資料.廣韻.iter條目()) {
    const rhyme = classOf.get(entry.來源.韻目);
    for (const char of new Set([simplify(entry.字頭), WRITTEN_OTHERWISE[entry.字頭]])) {
      if (char === undefined || !common.has(char) || (char === entry.字頭 && TAKEN_OVER.has(char))) continue;
      if (rhyme === undefined) oblique.add(char);
      else level[rhyme]!.add(char);
    }
  }
  const sorted = (set: Iterable<string>) => [...set].sort().join('');
  return {
    level: Object.fromEntries(Object.keys(MERGED).map((name) => [name, sorted(level[name]!)])),
    oblique: sorted(oblique),
  };
}

if (argv[1] && import.meta.url === pathToFileURL(argv[1]).href) {
  const { level, oblique } = await derive();
  process.stdout.write(
    [
      '/**',
      ' * 平水韵 in simplified characters, derived from the Guangyun by `derive.ts`; not written by hand. A character may stand in',
      ' * several rhymes, and both under a level rhyme and among the oblique ones.',
      ' */',
      '/** The thirty level-tone rhymes. */',
      'export const LEVEL_RHYMES: Record<string, string> = {',
      ...Object.entries(level).map(([name, chars]) => `  ${name}: '${chars}',`),
      '};',
      '/** Every character with an oblique reading: rising, departing or entering. */',
      `export const OBLIQUE = '${oblique}';`,
      '',
    ].join('\n'),
  );
}
