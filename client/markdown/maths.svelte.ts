/**
 * Which parser the page uses: without KaTeX until a text needs it, then with it for everything.
 */
import { loadMathsParser, type Parser, plainParser } from './parse.ts';

class Maths {
  parser: Parser = $state.raw(plainParser);
  #loading = false;

  load(): void {
    if (this.#loading) return;
    this.#loading = true;
    loadMathsParser().then(
      (parser) => {
        this.parser = parser;
      },
      () => {
        // The network is away; the next formula tries again. Until then the source is shown, which can be read.
        this.#loading = false;
      },
    );
  }
}

export const maths = new Maths();
