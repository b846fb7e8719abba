/**
 * Constraints while decoding: what a reply must look like, as the tokens that may come next. The one face of this folder.
 */
import { type Constraint, ModelError } from '../types.ts';
import { JsonTexts } from './json.ts';
import { type Alphabet, allowedTokens, planSlots, type SlotPlan } from './slots.ts';

export { type Alphabet, allowedTokens, planSlots, type SlotPlan } from './slots.ts';

/** What constraints need of a tokenizer. */
export interface Spelling extends Alphabet {
  /** The bytes of every ordinary token. */
  readonly bytes: ReadonlyMap<number, Uint8Array>;
}

/** One reply under a constraint. */
export interface Guide {
  /** Whether the reply must end here. */
  readonly ended: boolean;
  /** Whether it may. */
  readonly complete: boolean;
  /** Tokens that may come next, `left` being how many may still come at all. Not to be changed. */
  allowed(left: number): ArrayLike<number>;
  push(token: number): void;
}

export class Constraints {
  readonly #spelling: Spelling;
  #json: JsonTexts | undefined;

  constructor(spelling: Spelling) {
    this.#spelling = spelling;
  }

  /** Throws CONSTRAINT_IMPOSSIBLE or CONSTRAINT_UNSUPPORTED. */
  begin(constraint: Constraint): Guide {
    if (constraint.kind === 'slots') return new SlotsReply(planSlots(constraint, this.#spelling));
    if (constraint.kind === 'json') {
      this.#json ??= new JsonTexts(this.#spelling.bytes);
      return this.#json.begin(constraint.schema);
    }
    throw new ModelError(
      'CONSTRAINT_UNSUPPORTED',
      `constraints of kind ${String((constraint as { kind: unknown }).kind)} are unknown`,
    );
  }
}

class SlotsReply implements Guide {
  readonly #plan: SlotPlan;
  readonly #chosen: number[] = [];
  readonly complete = false;

  constructor(plan: SlotPlan) {
    this.#plan = plan;
  }

  get ended(): boolean {
    return this.#chosen.length >= this.#plan.classOf.length;
  }

  allowed(): readonly number[] {
    return allowedTokens(this.#plan, this.#chosen);
  }

  push(token: number): void {
    this.#chosen.push(token);
  }
}
