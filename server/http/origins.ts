/** Which web pages may talk to this server. Browsers name the page's origin; other programs send none and carry no cookie. */
import type { IncomingMessage } from 'node:http';

export function isOriginAllowed(headers: IncomingMessage['headers'], allowed: readonly string[]): boolean {
  const { origin } = headers;
  if (origin === undefined) return true;
  if (allowed.includes(origin)) return true;
  try {
    // The page was served by this very host. A proxy in front must pass the Host header on, as they do by default.
    return headers.host !== undefined && new URL(origin).host === headers.host;
  } catch {
    return false;
  }
}
