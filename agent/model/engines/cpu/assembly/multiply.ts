/** A group of panels times any number of records: which of the products of dot.ts serve which rows. */
import { tile1, tile2, tile4 } from './dot';
import { INTERLEAVED_BLOCK, PANEL_BLOCK } from './format';
import { interleaved, rowList } from './shared';

/** Four records side by side: [columns / 2][4 rows][2] int16, then [blocks][4 rows] scales. */
function interleave(list: usize, blocks: i32, to: usize): void {
  let a = load<usize>(list);
  let b = load<usize>(list, 4);
  let c = load<usize>(list, 8);
  let d = load<usize>(list, 12);
  // Values 16 bytes of a row at a time, then the scales behind them.
  const values = to + (<usize>blocks << 8);
  const end = values + (<usize>blocks << 4);
  while (to < values) {
    const va = v128.load(a);
    const vb = v128.load(b);
    const vc = v128.load(c);
    const vd = v128.load(d);
    const ab0 = v128.shuffle<i32>(va, vb, 0, 4, 1, 5);
    const ab1 = v128.shuffle<i32>(va, vb, 2, 6, 3, 7);
    const cd0 = v128.shuffle<i32>(vc, vd, 0, 4, 1, 5);
    const cd1 = v128.shuffle<i32>(vc, vd, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<i64>(ab0, cd0, 0, 2));
    v128.store(to, v128.shuffle<i64>(ab0, cd0, 1, 3), 16);
    v128.store(to, v128.shuffle<i64>(ab1, cd1, 0, 2), 32);
    v128.store(to, v128.shuffle<i64>(ab1, cd1, 1, 3), 48);
    to += 64;
    a += 16;
    b += 16;
    c += 16;
    d += 16;
  }
  while (to < end) {
    store<i32>(to, load<i32>(a));
    store<i32>(to, load<i32>(b), 4);
    store<i32>(to, load<i32>(c), 8);
    store<i32>(to, load<i32>(d), 12);
    to += 16;
    a += 4;
    b += 4;
    c += 4;
    d += 4;
  }
}

/**
 * `count` panels from `panel` times the first `n` records of this thread's row list. Row r, panel j: eight floats at
 * `out + r · stride + 32 j`. Panel by panel, so that a panel is read from memory once however many rows there are.
 */
export function multiply(panel: usize, count: i32, blocks: i32, n: i32, out: usize, stride: usize): void {
  const list = rowList;
  // Three rows left over run as four with the last one twice, which is cheaper than two and one.
  const three = (n & 3) === 3;
  if (three) store<usize>(list + (<usize>n << 2), load<usize>(list + (<usize>(n - 1) << 2)));
  const fours = (n + 1) >> 2;
  const group = <usize>blocks * INTERLEAVED_BLOCK;
  for (let g = 0; g < fours; g++) interleave(list + (<usize>g << 4), blocks, interleaved + <usize>g * group);
  const rest = n - (fours << 2);
  const last = <usize>fours << 2;
  const bytes = <usize>blocks * PANEL_BLOCK;
  for (let j = 0; j < count; j++) {
    let o = out;
    let x = interleaved;
    for (let g = 0; g < fours; g++) {
      tile4(panel, blocks, x, o, stride, three && g === fours - 1);
      x += group;
      o += stride << 2;
    }
    const at = list + (last << 2);
    if (rest === 2) tile2(panel, blocks, load<usize>(at), load<usize>(at, 4), o, o + stride);
    else if (rest === 1) tile1(panel, blocks, load<usize>(at), o);
    panel += bytes;
    out += 32;
  }
}

/** Fills the row list with `n` records `bytes` apart. */
export function listRows(first: usize, bytes: usize, n: i32): void {
  for (let r = 0; r < n; r++) store<usize>(rowList + (<usize>r << 2), first + <usize>r * bytes);
}
