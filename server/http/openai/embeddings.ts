/** Texts to unit vectors, as floats or as the base64 of little-endian float32 that the official client asks for. */
import { endianness } from 'node:os';
import type { CreateEmbeddingResponse } from 'openai/resources/embeddings';
import type { Model } from '../../../agent/model/index.ts';
import { ParameterError } from './errors.ts';
import { modelIdOf } from './models.ts';
import type { EmbeddingRequest } from './schema.ts';

type Encoded = Omit<CreateEmbeddingResponse, 'data'> & {
  data: { object: 'embedding'; index: number; embedding: number[] | string }[];
};

export async function embed(
  texts: readonly string[],
  body: Pick<EmbeddingRequest, 'encoding_format' | 'dimensions'>,
  model: Model,
  signal: AbortSignal,
): Promise<Encoded> {
  const data: Encoded['data'] = [];
  // One text a call: replies, and other people's texts, go on in between, and a client that left costs one text more.
  for (const [index, text] of texts.entries()) {
    signal.throwIfAborted();
    const [vector] = await model.embed([text]);
    if (vector === undefined) throw new Error('the model embedded nothing');
    if (typeof body.dimensions === 'number' && body.dimensions !== vector.length)
      throw new ParameterError('dimensions', 'invalid_value', {
        zh: `这个模型的向量是 ${vector.length} 维，不能改。`,
        en: `This model's vectors have ${vector.length} dimensions; that cannot be changed.`,
      });
    const embedding = body.encoding_format === 'base64' ? base64(vector) : [...vector];
    data.push({ object: 'embedding', index, embedding });
  }
  // The model does not say how many tokens a text had, and a guess would pass for a count.
  return { object: 'list', model: modelIdOf(model.info), data, usage: { prompt_tokens: 0, total_tokens: 0 } };
}

function base64(vector: Float32Array): string {
  const bytes = Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength);
  return (endianness() === 'BE' ? Buffer.from(bytes).swap32() : bytes).toString('base64');
}
