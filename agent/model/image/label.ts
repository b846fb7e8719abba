/**
 * A painted picture as a PNG that says what it is: text chunks for people and simple tools, and IPTC's digital source type
 * "trained algorithmic media" as XMP, which is what photo programs and platforms look for.
 */
import { crc32 } from 'node:zlib';
import { encode } from 'fast-png';
import { enlarge } from './resize.ts';

/** Pixels a side of each of the 64×64: 512×512 in all, sharp on a phone and small to send. */
const TIMES = 8;
/** Signature and header chunk: XMP goes right behind them, where readers that stop early find it. */
const AFTER_HEADER = 8 + 12 + 13;
const SOURCE_TYPE = 'http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia';

export interface Provenance {
  /** Latin-1, for example `Xiaohe 0.1.0`. */
  software: string;
  /** SHA-256 of the language model's weights, hex: who painted this. */
  checkpoint: string;
}

/** RGB [64, 64, 3] → a labelled PNG, enlarged without smoothing. Throws PICTURE_UNREADABLE on another size. */
export function writePng(rgb: Uint8Array, { software, checkpoint }: Provenance): Uint8Array<ArrayBuffer> {
  const { width, height, rgb: data } = enlarge(rgb, TIMES);
  const text = { 'AI-generated': 'true', Software: software, Source: `checkpoint sha256:${checkpoint}` };
  const png = encode({ width, height, data, channels: 3, depth: 8, text }, { zlib: { level: 9 } });
  const xmp = internationalText('XML:com.adobe.xmp', packet(software));
  return Uint8Array.from(Buffer.concat([png.subarray(0, AFTER_HEADER), xmp, png.subarray(AFTER_HEADER)]));
}

function packet(software: string): string {
  const tool = software.replace(/[<>&"]/g, '');
  return (
    '<?xpacket begin="\uFEFF" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">' +
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""' +
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"' +
    ` Iptc4xmpExt:DigitalSourceType="${SOURCE_TYPE}" xmp:CreatorTool="${tool}"/>` +
    '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
  );
}

/** An uncompressed iTXt chunk: keyword, two zero flags, empty language and translated keyword, UTF-8 text. */
function internationalText(keyword: string, text: string): Buffer {
  const body = Buffer.concat([Buffer.from('iTXt'), Buffer.from(`${keyword}\0\0\0\0\0`, 'latin1'), Buffer.from(text)]);
  const chunk = Buffer.alloc(body.length + 8);
  chunk.writeUInt32BE(body.length - 4, 0);
  body.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(body), body.length + 4);
  return chunk;
}
