/**
 * The protocol's limits the page itself needs. Typed by the protocol's literal types, so a change there fails to compile
 * here; importing the values would bring the whole validation library into the page.
 */
import type { LIMITS } from '../server/protocol.ts';

type Limits = typeof LIMITS;

export const LIMITS_MESSAGE_CHARS: Limits['messageChars'] = 4_000;
export const LIMITS_NAME_CHARS: Limits['nameChars'] = 24;
