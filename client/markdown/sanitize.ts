/**
 * The last step before HTML reaches the page. DOMPurify with an allow-list of what markdown can produce, returning
 * TrustedHTML through DOMPurify's own Trusted Types policy (`dompurify`). Nothing may touch the HTML after this.
 */
import DOMPurify from 'dompurify';

/** What a message may show. No pictures by address, no forms, no styles, no ids that could shadow our own. */
const TAGS =
  'p br hr h1 h2 h3 h4 h5 h6 strong em del code pre blockquote ul ol li table thead tbody tr th td a span input ' +
  'math mrow mi mn mo ms mtext mspace mfrac msqrt mroot mstyle msub msup msubsup munder mover munderover mtable mtr ' +
  'mtd mpadded mphantom menclose merror mmultiscripts';
const ATTRIBUTES =
  'title class align start type checked disabled display mathvariant stretchy fence separator lspace rspace ' +
  'accent accentunder columnalign columnspacing rowspacing scriptlevel displaystyle linethickness width height depth ' +
  'voffset notation minsize maxsize movablelimits';

const CONFIG = {
  ALLOWED_TAGS: TAGS.split(' '),
  ALLOWED_ATTR: ['href', ...ATTRIBUTES.split(' ')],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  // Without this the expression above is asked of every attribute, and `display="block"` is no address.
  ADD_URI_SAFE_ATTR: ATTRIBUTES.split(' '),
  // KaTeX repeats the TeX source here for machines; without its tag it would be printed beside the formula.
  ADD_FORBID_CONTENTS: ['annotation'],
};

/** Only classes our own style sheet or the code fence's language use; others could dress a message up as the page. */
const CLASSES = /^(?:language-[\w-]{1,24}|katex(?:-error)?)$/;

const purify = DOMPurify(window);
purify.addHook('afterSanitizeAttributes', (node) => {
  if (node.nodeName === 'A') {
    // A link never replaces the conversation, never tells where it came from, never gets hold of this window.
    node.setAttribute('target', '_blank');
    node.setAttribute('rel', 'noopener noreferrer nofollow ugc');
  }
  if (node.nodeName === 'INPUT' && (node.getAttribute('type') !== 'checkbox' || !node.hasAttribute('disabled'))) {
    node.remove();
  }
  const classes = node.getAttribute('class');
  if (classes !== null && !CLASSES.test(classes)) node.removeAttribute('class');
});

export type SafeHtml = ReturnType<typeof sanitize>;

export function sanitize(html: string) {
  return purify.sanitize(html, { ...CONFIG, RETURN_TRUSTED_TYPE: true });
}
