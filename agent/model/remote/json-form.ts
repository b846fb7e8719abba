/** A JSON constraint for servers that are not ours: asked for in OpenAI's form or in words, and checked when it came. Pure. */
import { Validator } from '@langchain/core/utils/json_schema';
import { type JsonConstraint, ModelError } from '../types.ts';

export interface JsonForm {
  /** `response_format` as OpenAI has it, and as llama.cpp does. */
  formats: [Record<string, unknown>, Record<string, unknown>];
  words: string;
  /** The JSON text in a reply if it is valid under the schema. */
  find(reply: string): string | undefined;
}

export function jsonForm({ schema }: JsonConstraint): JsonForm {
  const accepts = (value: unknown) =>
    schema ? isValid(value, schema) : typeof value === 'object' && value !== null && !Array.isArray(value);
  return {
    formats: [
      schema ? { type: 'json_schema', json_schema: { name: 'reply', schema } } : { type: 'json_object' },
      { type: 'json_object', ...(schema && { schema }) },
    ],
    words: schema
      ? `Answer with one JSON text that is valid under this JSON Schema, and nothing else:\n${JSON.stringify(schema)}`
      : 'Answer with one JSON object and nothing else.',
    find(reply) {
      return [reply.trim(), unwrap(reply)].find((text) => {
        const value = parse(text);
        return value !== undefined && accepts(value);
      });
    },
  };
}

function parse(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isValid(value: unknown, schema: Record<string, unknown>): boolean {
  try {
    // The first error is enough.
    return new Validator(schema, '2020-12', true).validate(value).valid;
  } catch (cause) {
    throw new ModelError('CONSTRAINT_UNSUPPORTED', `this is no JSON Schema that can be checked: ${String(cause)}`);
  }
}

/** What stands between the first and the last bracket: models like to put a fence or a sentence around it. */
function unwrap(reply: string): string | undefined {
  const start = reply.search(/[{[]/);
  const end = Math.max(reply.lastIndexOf('}'), reply.lastIndexOf(']'));
  return start >= 0 && end > start ? reply.slice(start, end + 1) : undefined;
}
