/**
 * Reasoning models think aloud in `<think>…</think>` before they answer, unless their server cuts it out. A person is
 * shown the answer only. Pure.
 */
const OPEN = '<think>';
const CLOSE = '</think>';

/** Returns a filter: text in as it comes, text to show out. `end()` gives what was held back. */
export function withoutThinking(): { push(text: string): string; end(): string } {
  let state: 'start' | 'thinking' | 'after' | 'speaking' = 'start';
  let held = '';
  function push(text: string): string {
    if (state === 'speaking') return text;
    held += text;
    if (state === 'start') {
      const said = held.trimStart();
      if (said.startsWith(OPEN)) state = 'thinking';
      else if (!OPEN.startsWith(said)) return release();
      else return '';
    }
    if (state === 'thinking') {
      const end = held.indexOf(CLOSE);
      if (end < 0) return '';
      held = held.slice(end + CLOSE.length);
      state = 'after';
    }
    // Blank lines between the thought and the answer belong to neither.
    held = held.trimStart();
    return held === '' ? '' : release();
  }
  function release(): string {
    state = 'speaking';
    const text = held;
    held = '';
    return text;
  }
  return { push, end: () => (state === 'start' ? release() : '') };
}
