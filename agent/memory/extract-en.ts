/** The English patterns of `extract.ts`. */
import type { Found } from './extract-zh.ts';
import { type Sentence, splitClauses } from './sentences.ts';
import type { Statement } from './statement.ts';

const SUPPOSED =
  /\b(?:if|suppose|imagine|pretend|what if|let's say|once upon|for example|for instance|in (?:the|a|my) (?:story|dream|movie|book|game)|would|could|might|may (?:be|not|have|i|we|you)|maybe|perhaps|probably|wish|unless)\b|[:]\s*["“]/i;
const QUESTION =
  /^(?:and |so |but |then )?(?:what|who|whom|whose|where|when|why|how|which|is|are|am|was|were|do|does|did|can|could|will|would|shall|should|may|might|have you|has|had|don't|doesn't|isn't|aren't|can't|won't)\b/i;
const TAG =
  /^(?:right|correct|isn't it|isn't he|isn't she|aren't they|doesn't it|is it|don't you think|ok|okay|yes|no|huh)$/i;
const REPORTED =
  /\b(?:says?|said|told me|tells me|asks?|asked|thinks?|thought|believes?|guess(?:es)?|heard|dreamed|dreamt|feels? like|seems?|according to|hopes?|wonders?|forgot|i want|i need|i'd|i'll|i think|not sure)\b/i;
const COMMAND =
  /^(?:please |now |xiaohe,? ?)?(?:tell|show|write|sing|draw|say|give|help|let's|let|stop|go|come|make|explain|read|count|translate|describe|repeat|finish|play|look|listen|try|use|spell|name|list|find|answer|ask|talk|teach|don't|do not|never|be|keep|put|take|open|close|wait|thank|thanks|hello|hi|hey|good)\b/i;

const ADDRESS =
  /^(?:(?:xiaohe|hi|hello|hey|ok|okay|well|oh|so|and|also|but|by the way|yes|yeah|good morning|guess what|listen|you know|you know what|i have news)(?:[,!:]\s*|\s+(?=my\b|i\b|remember\b)))/i;
const TEACH =
  /^(?:(?:i(?:'ll| will| want to| can)?|let me) (?:teach|tell) you(?: something(?: new)?| a (?:new )?(?:fact|thing|word|secret)| this| that| about this)?|here(?:'s| is) (?:something(?: new| fun)?|a (?:new )?(?:fact|lesson))(?: for you)?|did you know(?: that)?|(?:please )?(?:you (?:must|should|need to) )?(?:remember|note|write down|don't forget|keep in mind)(?: this| that)?|(?:new )?fact)(?:[:,.]\s*|\s+|$)/i;
const CORRECTION =
  /^(?:no|nope|actually|in fact|correction|sorry|oops|that(?:'s| is| was) (?:wrong|not right|a mistake|incorrect)|you(?:'re| are) wrong|i (?:meant|mean|made a mistake|was wrong)(?: to say)?|let me correct (?:that|you|myself)|i need to correct (?:that|you)|what \w+ taught you is wrong|it(?:'s| is) wrong|wrong)(?:[,.:!]\s*|\s+(?=my\b|the\b|it\b|i\b|he\b|she\b|[A-Z])|$)/i;

const BAD_SUBJECT =
  /^(?:it|mine|yours|this|that|these|those|there|here|he|she|they|we|you|who|what|which|where|when|why|how|today|tomorrow|yesterday|now|everything|everyone|everybody|someone|somebody|something|nothing|nobody|anyone|anything|one|all|some|most of us|life|time|not|the (?:question|answer|problem|point|thing|truth is|weather|reason)|my (?:question|answer|point|problem|guess|idea|turn|bad|pleasure))\b|\b(?:that|which|who|because|when|while|and then|said|if)\b/i;
const BAD_OBJECT =
  /^(?:it|this|that|these|those|you|him|her|them|us|me|so|not sure|ok|okay|fine|good|great|sorry|going|trying|here|there|back|ready|done|sure|right|wrong|true|false|what|who|how|why|where|because|very|too|really|just|about to|about|glad|happy to|to|been|being|up|happening|like|a bit|kind of|it|all|wondering|thinking|talking|asking|saying|tired|sad|bored|hungry|scared|happy|angry|sick|late|busy|lost|confused|curious|coming|leaving|doing|feeling|hoping)\b(?!\s+(?:tea|food|teacher|dog|cat)\b)/i;
const LIKED = /like|love|hate|enjoy|prefer|afraid|going to/;
const BAD_LIKING =
  /^(?:it|this|that|these|those|you|him|her|them|how|what|when|to (?:be|go home|know|see you|ask|talk))\b/i;
const BAD_POSSESSION =
  /^(?:to|been|a (?:question|problem|headache|cold|idea|plan|dream|feeling|test|meeting|look|good|bad|nice|great|favou?r)|an? idea|no idea|no time|time|fun|got|had|never|some questions?|just|you|it|that|enough|already)\b/i;

type Draft = Pick<Statement, 'subject' | 'relation' | 'object' | 'single'> & { text?: string };
const NUMBERS =
  '(?:[0-9]{1,3}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen)';
const SUBJECT = '((?:[\\w\'’“”"éü-]+ ){0,5}?[\\w\'’“”"éü-]+)';

const RULES: { pattern: RegExp; build: (...groups: string[]) => Draft | null }[] = [
  {
    pattern: new RegExp(`^${SUBJECT}(?:'s|’s) names? (?:is|are) (?:now )?(.{1,40})$`, 'i'),
    build: (s, o) => ({ subject: s!, relation: 'is called', object: o!, single: true }),
  },
  {
    pattern: /^(?:my name is|i am called|i'm called|call me|they call me) ((?!later|back|when|if|a\b)[\w'’ -]{1,30})$/i,
    build: (o) => ({ subject: 'I', relation: 'is called', object: o!, single: true, text: `my name is ${o}` }),
  },
  {
    pattern: /^(?:I'm|I am|i'm|i am) ([A-Z][a-z]{1,14})$/,
    build: (o) =>
      BAD_OBJECT.test(o!)
        ? null
        : { subject: 'I', relation: 'is called', object: o!, single: true, text: `my name is ${o}` },
  },
  {
    pattern: new RegExp(
      `^(I|my [\\w' -]{1,24}?|[A-Z][\\w'-]{1,20})(?:'m| am| is|'s) (?:now )?(${NUMBERS})(?: years? old)?$`,
      'i',
    ),
    build: (s, o) => ({ subject: s!, relation: 'age', object: o!, single: true }),
  },
  {
    pattern: new RegExp(`^${SUBJECT} (?:is|are) (?:now |also )?(?:called|named) (.{1,40})$`, 'i'),
    build: (s, o) => ({ subject: s!, relation: 'is called', object: o!, single: true }),
  },
  {
    pattern: /^(.{1,30}? favou?rite [\w' -]{1,30}?) (?:is|are) (?:now )?(.{1,40})$/i,
    build: (s, o) => ({ subject: s!, relation: 'is', object: o!, single: true }),
  },
  {
    pattern: new RegExp(
      `^${SUBJECT} (?:really |also )?(lives? in|comes? from|was born in|were born in) (.{1,40})$`,
      'i',
    ),
    build: (s, r, o) => ({ subject: s!, relation: r!.replace(/^(live|come)s/i, '$1'), object: o!, single: true }),
  },
  {
    pattern:
      /^(I|(?:[\w'’-]+ ){0,4}?[\w'’-]+)(?: really| also)? (don't like|do not like|doesn't like|likes?|loves?|hates?|enjoys?|dislikes?|prefers?) (.{1,50})$/i,
    build: (s, r, o) => ({
      subject: s!,
      relation: r!
        .toLowerCase()
        .replace(/^(?:don't|doesn't)/, 'do not')
        .replace(/^(like|love|hate|enjoy|dislike|prefer)s$/, '$1'),
      object: o!,
      single: false,
    }),
  },
  {
    pattern:
      /^((?:[\w'’-]+ ){0,4}?[\w'’-]+) (?:is|are) (afraid of|scared of|going to(?= the| a| my| [A-Z])) (.{1,40})$/i,
    build: (s, r, o) => ({ subject: s!, relation: `is ${r!.toLowerCase()}`, object: o!, single: false }),
  },
  {
    pattern: /^((?:the|my|our) [\w' -]{1,30}? (?:of|in|for) [\w' -]{1,30}?) (?:is|are|was) (?:now )?(.{1,50})$/i,
    build: (s, o) => ({ subject: s!, relation: 'is', object: o!, single: true }),
  },
  {
    pattern: /^(my [\w'’ -]{1,30}?|[\w]+(?:'s|’s) [\w -]{1,30}?) (?:is|are) (?:now )?(on |in |at )?(.{1,50})$/i,
    build: (s, p, o) => ({ subject: s!, relation: 'is', object: `${p ?? ''}${o}`, single: true }),
  },
  {
    pattern: new RegExp(
      `^(I|my [\\w' -]{1,24}?|${SUBJECT.slice(1, -1)}) (?:also |usually )?(have|has|have got|has got) (.{1,40})$`,
      'i',
    ),
    build: (s, _r, o) =>
      BAD_POSSESSION.test(o!) ? null : { subject: s!, relation: 'have', object: o!, single: false },
  },
  {
    pattern: /^(.{1,30}?) (?:equals|makes) (.{1,30})$/i,
    build: (s, o) =>
      /\d|\b(?:plus|minus|times)\b/.test(s!) ? { subject: s!, relation: 'equals', object: o!, single: true } : null,
  },
  {
    pattern: new RegExp(
      `^${SUBJECT} (?:usually |also )?(is not|are not|isn't|aren't|is|are|was|were|means) (.{1,60})$`,
      'i',
    ),
    build: (s, r, o) => ({ subject: s!, relation: r!.toLowerCase().replace("n't", ' not'), object: o!, single: false }),
  },
  {
    pattern: new RegExp(
      `^${SUBJECT} (can|cannot|can't|eats?|orbits?|needs?|repairs?|rides?|flies|grows?|gives?|turns?|plays?) (.{2,50})$`,
      'i',
    ),
    build: (s, r, o) =>
      /^(?:i|we)$/i.test(s!) && !/^can$/i.test(r!)
        ? null
        : { subject: s!, relation: r!.toLowerCase().replace("can't", 'cannot'), object: o!, single: false },
  },
];

function fitClause(clause: string): Draft | null {
  for (const { pattern, build } of RULES) {
    const match = pattern.exec(clause);
    if (!match) continue;
    const draft = build(...match.slice(1));
    if (
      draft &&
      !BAD_SUBJECT.test(draft.subject) &&
      (draft.relation === 'is called' || !(LIKED.test(draft.relation) ? BAD_LIKING : BAD_OBJECT).test(draft.object))
    )
      return draft;
  }
  return null;
}

const AMENDED =
  /^(?:it|he|she|the name|her name|his name|its name)(?:'s| is| should be)(?: (called|named))? ([\w' -]{1,30})$/i;

export function extractEn(sentence: Sentence, correctingBefore: boolean): Found {
  const lead = stripLeadIns(sentence.text);
  const found: Found = { statements: [], correcting: correctingBefore || lead.correcting };
  const text = lead.clause;
  if (text.length === 0) return found;
  if (sentence.asked && !/,/.test(text)) return { statements: [], correcting: false };
  if (SUPPOSED.test(text) || (REPORTED.test(text) && !lead.taught)) return { statements: [], correcting: false };
  const clauses = splitClauses(text.replace(/[,]? (?:and|but) (?=(?:my|i|the|his|her|its) )/gi, ', '));
  if (clauses.some((clause) => TAG.test(clause))) return { statements: [], correcting: false };
  if (sentence.asked) clauses.pop();
  const used: string[] = [];
  for (const raw of clauses) {
    const clause = raw.replace(/\s+(?:too|as well|now|by the way)$/i, '').trim();
    if (QUESTION.test(clause) || COMMAND.test(clause)) continue;
    used.push(clause);
    const draft = fitClause(clause);
    if (draft)
      found.statements.push({
        subject: draft.subject,
        relation: draft.relation,
        object: draft.object,
        single: draft.single,
        text: draft.text ?? clause,
        lang: 'en',
        correction: found.correcting,
      });
    else if (found.correcting) {
      const amended = AMENDED.exec(clause);
      if (amended && !BAD_OBJECT.test(amended[2]!))
        found.amendment ??= { ...(amended[1] && { relation: 'is called' }), object: amended[2]! };
    }
  }
  const note = used.join(', ');
  if (lead.taught && found.statements.length === 0 && note.split(' ').length >= 3 && note.length <= 120)
    found.statements.push({
      subject: '',
      relation: 'note',
      object: note,
      single: false,
      text: note,
      lang: 'en',
      correction: found.correcting,
    });
  if (found.statements.length > 0 || found.amendment) found.correcting = false;
  return found;
}

function stripLeadIns(raw: string): { clause: string; taught: boolean; correcting: boolean } {
  let clause = raw.trim();
  let taught = false;
  let correcting = false;
  for (let before = ''; before !== clause; ) {
    before = clause;
    clause = clause.replace(ADDRESS, '');
    const teach = TEACH.exec(clause);
    if (teach) {
      taught = true;
      clause = clause.slice(teach[0].length);
    }
    const correct = CORRECTION.exec(clause);
    if (correct) {
      correcting = true;
      clause = clause.slice(correct[0].length);
    }
  }
  return { clause: clause.trim(), taught, correcting };
}
