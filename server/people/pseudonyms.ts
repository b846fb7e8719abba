/** Friendly names for visitors who give none, so that nobody needs to type a real one. */
import { randomInt } from 'node:crypto';

const MOODS = [
  '爱笑的',
  '好奇的',
  '慢悠悠的',
  '早起的',
  '爱唱歌的',
  '勇敢的',
  '安静的',
  '会跳的',
  '爱读书的',
  '圆圆的',
  '闪亮的',
  '认真的',
];
const BEINGS = [
  ...['小鹿', '刺猬', '海豚', '松鼠', '燕子', '蜗牛', '熊猫', '企鹅', '水獭', '白鹭', '萤火虫', '小象'],
  ...['竹子', '向日葵', '银杏', '蒲公英', '莲蓬', '青草', '桂花', '枫叶', '松果', '麦苗', '茉莉', '豌豆'],
];

export function pseudonym(): string {
  return `${MOODS[randomInt(MOODS.length)]}${BEINGS[randomInt(BEINGS.length)]}`;
}
