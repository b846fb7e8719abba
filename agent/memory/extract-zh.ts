/** The Chinese patterns of `extract.ts`. A clause goes through: lead-ins off, guards, then the first pattern that fits. */
import { type Sentence, splitClauses } from './sentences.ts';
import type { Amendment, Statement } from './statement.ts';

export interface Found {
  statements: Statement[];
  amendment?: Amendment;
  /** A correction was announced and holds for the next sentence too. */
  correcting: boolean;
}

// ───────────────────────── what is not a statement ─────────────────────────

const SUPPOSED =
  /如果|要是|假如|假设|假装|想象|比如|例如|万一|除非|的话(?=[，,]|$)|从前|很久以前|有一天|扮演|你来当|猜猜|猜一猜|谜语|改写|造句|翻译|[:：]\s*[“"「『]/;
const QUESTION =
  /[吗么]$|呢$|吗[，,]|什么|谁|哪|(?<![十好])几(?!何|乎|百|千|万)|多少|怎么|怎样|为何|为啥|啥|是不是|有没有|对不对|能不能|会不会|可不可以|好不好|要不要|知不知道|记不记得|是否|还是.+[？?]?$|多(?:大|高|长|远|重)$/;
const TAG = /^(?:对|是|真的|没错|好|行|可以)(?:吗|吧|么|不对|不是|不好|嘛)$|^(?:对不对|是不是|好不好|right|ok)$/i;
/** Somebody else's words, a tale, or a thought that is not yet a claim. */
const REPORTED =
  /(?<![小传听])说(?![明唱谎])|听说|据说|传说|[问喊]道|告诉我|回答|写道|书上|电视|新闻|梦[里见]|歌词|课文里|故事里|游戏里|觉得|认为|以为|希望|想要|好像|可能|也许|大概|似乎|说不定|猜|怀疑|应该会|打算|准备|恐怕/;
const UNSURE = /吧$/;

// ───────────────────────── lead-ins ─────────────────────────

const ADDRESS =
  /^(?:(?:小禾(?:同学)?|嘿|喂|嗨|你好|你们好|早上好|早|晚上好|哈喽|好的?|嗯+|哦+|啊|呃|对了|对|那|那么|还有|另外|然后|而且|悄悄(?:地)?|开始上课(?:啦|了)?)(?:[，,：:！!、\s]+)|小禾(?:同学)?(?=我|你|记|告诉))/;
const TEACH_MARKED =
  /^(?:(?:我|老师|让我|今天)*(?:来|要|想|再)?(?:告诉|教(?:教|给|会)?|跟|和|给)你们?(?:说|讲|介绍|记住)?(?:一?[个条件下点句](?:新)?(?:的)?(?:知识|词语?|字|道理|事情?|秘密|本领|常识|规则|成语|话)?|知识)?(?:吧|啊|哦)?|知识点|新知识|你知道吗|听(?:好|着)了?|我们(?:今天)?学(?:习|的是|到|过)?)[：:，,\s]+/;
const TEACH_PLAIN = /^(?:我)?(?:偷偷|悄悄)?(?:告诉|跟)你(?:说|讲)?(?:哦|啊|呀)?(?=我|“|《)/;
const REMEMBER =
  /^(?:请|你们?|小禾)*(?:要|得|一定要|可要|必须|以后要)?(?:帮我|给我|好好|牢牢)*(?:记(?:住|着|一下|下来|好)|(?<=[要得我])记(?:得|下))(?:了|啊|哦|哟|呀)?[：:，,\s]*/;
const CORRECTION =
  /^(?:其实|实际上|事实上|不对+|不是(?:的|这样的?|啦)?(?=[，,]|$)|错(?:了|啦)+|(?:你|我)?(?:刚才|刚刚|前面|上次|昨天)?(?:都)?(?:说|记|弄|搞|写|讲|念|教)(?:错|反)(?:了|啦)|(?:我)?(?:来|要)?(?:更正|纠正|改正)(?:一下)?|有一条旧知识错了|正确的(?:是|说法是)?|原来)[的啦了呀啊]?[：:，,、！\s]*/;

// ───────────────────────── subjects and objects ─────────────────────────

const BAD_SUBJECT =
  /^(?:[这那它他她谁哪]|你(?!的|家|们班)|您|大家|人家|自己|别人|有人|有的|有些|但|可(?!乐|可|爱)|就|也|不(?!倒翁|锈钢)|还|要|好(?!朋友)|真(?!理)|总(?!理|统)|都(?!市|江堰)|因为|所以|虽然|而且|或者|今[天晚]|明天|昨天|后天|前天|现在|刚才|刚刚|最近|以后|以前|早上|晚上|下午|上午|中午|一会|请|别(?!针|墅)|让|给|把|被|对(?!联|虾|称)|从|在|到|和(?!平|尚)|跟|想|没|只|又|再|很|太(?!阳|极|空|平洋)|更|天气|[里外前后上下]面|谢|画(?!家|眉|笔)|写|唱|讲|念|背|猜|看|听|做|算|来|去|帮|教(?!室|师|练|学)|陪|找|买|拿|玩|用|我(?:想|要|去|来|在|把|给|跟|和你|也想|不想|不要|能不能|可以|一定|再|就|的(?:意思|问题|想法|感觉|看法|建议|答案|天))|我们(?:来|去|一起|要|再|可以)|咱们(?!班|家|学校)|意思|问题|重点)|(?:的|了|着|过|是|地|得|不|也|(?<!首|古)都|就|还|很|最|没)$/;
const THOUGHT = /.你|觉得|认为|以为|知道|希望|想要|应该|问(?!题)|告诉|猜|怀疑|是|，|,|。/;
const BAD_OBJECT =
  /^[的了吗呢吧啊哦]|^(?:什么|谁|哪|这样|那样|这么|那么)|^(?:你|您)(?!好)|[吗呢吧么]$|[“「《（(][^”」》）)]*$/;
const BAD_NAME = /^[我他她它人家]|^(?:醒|停|回|救命|大家|妈|爸|来|去|出|得|着|不|声)|的$|[着过起]$/;
const BAD_IDENTITY =
  /^(?:这|那|我(?![们的家最])|他(?!的)|她(?!的)|想|要|来|去|在|因为|为了|真的|假的|对的|错的|不|很|太|挺|非常|好(?!朋友|吃的|学生|人)|故意|认真|第一次|开玩笑|吧|啊|没|有点|可以|应该|刚)/;
const BAD_POSSESSION =
  /^(?:一?[个些点件]?)(?:问题|疑问|想法|主意|办法|建议|请求|事情?|话|意思|道理|必要|关系|用|可能|时间|兴趣|信心|空|梦|点|时候|些|的|人|一天|一次|你)(?![一-龥]{2})|^[点些]/;
const BAD_LIKING = /^(?:[你他她它这那]|和你|跟你|上你|听你|看你)|^(?:吃|玩|看|去)?$/;
const SKILL_VERB = /^[弹画唱跳游写骑做下打拉吹背算踢滑折编包煮修读认炒养种捏翻]/;

const TIMES = '(?:[0-9]+|[一二两三四五六七八九十百零]+)';
/** Adverbs between subject and verb carry no fact of their own. */
const ADVERBS = '(?:其实|现在|已经|也|就|(?<!首|古)都|原来|一直|真的|从小|今年|还|很|特别|非常|超级?|可|挺|最近|总)*';
const RULES: { pattern: RegExp; build: (match: RegExpExecArray) => Draft | null }[] = [
  rule(`^(.{1,14}?)的名字(?:就|其实|现在|应该)?(?:是|叫)(.{1,12})$`, (s, o) => ({
    subject: s,
    relation: '叫',
    object: o,
    single: true,
  })),
  // 我给猫取名叫豆豆; 我把伞放在门后面了; 我长大想当画家; 我5月1日过生日
  rule(`^(.{1,10}?)给(.{1,8}?)(?:取|起)了?个?名字?叫?(.{1,12})$`, (s, n, o) => ({
    subject: `${s}的${n}`,
    relation: '叫',
    object: o,
    single: true,
  })),
  rule(`^(.{1,10}?)把(.{1,8}?)放(?:在|到|进)(.{1,12})$`, (s, n, o) => ({
    subject: `${s}的${n}`,
    relation: '放在',
    object: o,
    single: true,
  })),
  rule(`^(.{1,12}?)(?:长大(?:后|了|以后)?|以后|将来)(?:最)?想(?:要)?(?:当|做|成为)(.{1,12})$`, (s, o) => ({
    subject: s,
    relation: '想当',
    object: o,
    single: true,
  })),
  rule(`^(.{1,12}?)的?((?:${TIMES}月|正月|腊月)[初0-9一二三四五六七八九十]+[日号]?)(?:过)?生日$`, (s, o) => ({
    subject: `${s}的生日`,
    relation: '是',
    object: o,
    single: true,
  })),
  rule(`^(.{1,12}?)的?(老家|家乡|故乡)(?:就)?(?:在|是)(.{1,12})$`, (s, n, o) => ({
    subject: `${s}的${n}`,
    relation: '是',
    object: o,
    single: true,
  })),
  rule(`^(.{1,12}?)在(.{2,14})(上学|读书|上班|工作)$`, (s, o, r) => ({
    subject: s,
    relation: r,
    object: o,
    single: true,
  })),
  rule(`^(.{1,12}?)(?:正)?在学(?:习)?(.{1,12})$`, (s, o) => ({
    subject: s,
    relation: '在学',
    object: o,
    single: false,
  })),
  rule(
    `^(.{1,12}?)(明天|后天|周末|星期[一二三四五六日天]|[暑寒]假|放学后|下个?[周月]|(?:国庆|春|中秋)节|假期)(?:要|想)?去(.{1,12})$`,
    (s, t, o) => ({
      subject: s,
      relation: `${t}去`,
      object: o,
      single: true,
    }),
  ),
  rule(`^(.{1,12}?)一共(?:有)?(.{1,20})$`, (s, o) => ({ subject: s, relation: '有', object: o, single: false })),
  rule(
    `^(.{1,16}的.{1,8}?)(?:就)?(?:放)?在(.{1,10}(?:里面?|上面?|下面?|底下|旁边|后面|前面|中间|外面|边))$`,
    (s, o) => ({
      subject: s,
      relation: '放在',
      object: o,
      single: true,
    }),
  ),

  rule(
    `^(.{1,16}?)(?:的名字|名字)?${ADVERBS}(改名)?(?:叫做?|叫作|名叫|名字叫?做?是?|起名叫?|取名叫?|叫成|改叫|改名[叫为成])(.{1,12})$`,
    (s, renamed, o) =>
      BAD_NAME.test(o) || /^的?名字是?$/.test(o)
        ? null
        : { subject: s, relation: '叫', object: o, single: true, correction: renamed !== undefined },
  ),
  rule(`^(.{1,14}?)${ADVERBS}(?:是)?(${TIMES}岁半?)(?:了)?$`, (s, o) => ({
    subject: s,
    relation: '年龄',
    object: o,
    single: true,
  })),
  rule(`^(.{1,14}?)${ADVERBS}(?:家)?(住在|家在|出生在|来自|位于|生活在)(.{1,20})$`, (s, r, o) => ({
    subject: s.replace(/的?家?$/, ''),
    relation: r === '家在' ? '住在' : r,
    object: o,
    single: r !== '生活在',
  })),
  rule(
    `^(.{1,12}?)${ADVERBS}(最喜欢|最爱|最讨厌|最怕|不喜欢|喜欢|不爱吃|爱吃|爱看|爱玩|爱唱|爱喝|讨厌|害怕|怕)((?!的)[^是]{1,20})$`,
    (s, r, o) => (BAD_LIKING.test(o) ? null : { subject: s, relation: r, object: o, single: false }),
  ),
  rule(`^(.{1,24}?)(?:=|＝|等于)(.{1,24})$`, (s, o) => ({ subject: s, relation: '等于', object: o, single: true })),
  rule(
    `^([^是]{1,20}的[^是的]{1,10}|我生日|[^是]{1,8}生日)(?:其实|现在|就|(?<!首|古)都|一直|应该)*(?:改)?(?:是|为|在)(.{1,30})$`,
    (s, o) => (BAD_IDENTITY.test(o) ? null : { subject: s, relation: '是', object: o, single: true }),
  ),
  rule(`^(.{1,16}?)${ADVERBS}(没有|(?<!所)有|养了|养着|养)(.{1,20})$`, (s, r, o) =>
    BAD_POSSESSION.test(o) || /有$/.test(s)
      ? null
      : { subject: s, relation: r.startsWith('养') ? '有' : r === '没有' ? '不有' : '有', object: o, single: false },
  ),
  rule(`^([^是]{1,20}?)(?:就|(?<!首|古)都|其实|也|一直|原来)*(不是|是)(.{1,30})$`, (s, r, o) =>
    BAD_IDENTITY.test(o) ? null : { subject: s, relation: r, object: o, single: false },
  ),
  rule(`^(.{1,12}?)(?:也|都|很)*(不会|会|不能|能)(.{1,20})$`, (s, r, o) =>
    (s.startsWith('我') && !SKILL_VERB.test(o)) || /[了的]$|^(?:了|好|来|去|想)/.test(o)
      ? null
      : { subject: s, relation: r, object: o, single: false },
  ),
  rule(
    `^((?!我).{2,12}?)(?:都|也)?(绕着?|属于|需要|含有|由|代表|表示|读作|念作|读|念|写作|靠|用)(.{2,20})$`,
    (s, r, o) => (/[了过]$/.test(o) ? null : { subject: s, relation: r, object: o, single: false }),
  ),
  rule(`^(.{1,12}?)((?:在|每)?(?:星期|周)[一二三四五六日天末].{1,10})$`, (s, o) => ({
    subject: s,
    relation: '在',
    object: o,
    single: false,
  })),
];

type Draft = Pick<Statement, 'subject' | 'relation' | 'object' | 'single'> & { correction?: boolean };

function rule(source: string, build: (...groups: string[]) => Draft | null): (typeof RULES)[number] {
  return { pattern: new RegExp(source, 'u'), build: (match) => build(...match.slice(1)) };
}

function fitClause(clause: string): Draft | null {
  for (const { pattern, build } of RULES) {
    const match = pattern.exec(clause);
    if (!match) continue;
    const draft = build(match);
    if (draft) draft.object = draft.object.trim();
    if (draft && goodSubject(draft.subject) && !BAD_OBJECT.test(draft.object)) return draft;
  }
  return null;
}

function goodSubject(subject: string): boolean {
  return subject.length > 0 && !BAD_SUBJECT.test(subject) && !THOUGHT.test(subject) && !/^[\p{P}\s]+$/u.test(subject);
}

// ───────────────────────── a sentence ─────────────────────────

/** 我家有一只猫 → 我家的猫, so that 它叫豆豆 in the next clause has a subject. */
function antecedent(draft: Draft): string | undefined {
  if (draft.relation !== '有') return undefined;
  const noun = /^(?:[一两二三几0-9]+)?(?:[只条个头匹位名])?(?:.{1,4}的)?([\p{Script=Han}]{1,4})$/u.exec(
    draft.object,
  )?.[1];
  return noun && `${draft.subject.replace(/里$/, '')}的${noun}`;
}

const AMENDED = /^(?:它|他|她)?(?:应该|其实)?(?:(改)?(叫)|是|改成|改为|改叫|名字(?:叫|是))([^，,是叫]{1,16})$/u;
const NEGATED = /^(.{0,16}?)(?:不(是|叫)|并不(?:是|叫))([^，,]{1,16})$/;
const INSTEAD = /^(?:而)?(?:应该)?(是|叫)([^，,]{1,16})$/;

function trimmed(clause: string): string {
  return clause
    .replace(/[啦哦呀啊喔哟噢嘛]+$/u, '')
    .replace(/(?<=.{3})了$/u, '')
    .trim();
}

export function extractZh(sentence: Sentence, correctingBefore: boolean): Found {
  const found: Found = { statements: [], correcting: correctingBefore };
  if (SUPPOSED.test(sentence.text)) return { statements: [], correcting: false };
  const clauses = splitClauses(sentence.text);
  if (clauses.some((clause) => TAG.test(clause))) return { statements: [], correcting: false };
  if (sentence.asked) clauses.pop();

  let taught = false;
  let about: string | undefined;
  let denied: { subject: string; relation: string } | undefined;
  const rest: string[] = [];
  for (const raw of clauses) {
    const lead = stripLeadIns(raw);
    if (lead.correcting) found.correcting = true;
    if (lead.taught) taught = true;
    const clause = trimmed(lead.clause);
    if (clause.length === 0) continue;
    if (QUESTION.test(clause) || UNSURE.test(clause) || REPORTED.test(clause)) {
      taught = false;
      continue;
    }
    rest.push(clause);
    // 我家的猫不叫豆豆，叫花花: the denial gives the subject, what follows the claim.
    const instead = denied && INSTEAD.exec(clause);
    if (denied && instead) {
      found.statements.pop();
      const text = `${denied.subject}${instead[1]}${instead[2]}`;
      const draft = fitClause(text);
      if (draft) found.statements.push(statement({ ...draft, correction: true }, text));
      denied = undefined;
      continue;
    }
    const negated = NEGATED.exec(clause);
    denied =
      negated?.[1] && goodSubject(negated[1]) ? { subject: negated[1], relation: negated[2] ?? '是' } : undefined;
    // A pronoun or nothing in front of 叫/是/喜欢 speaks of what the clause before introduced.
    const resolved = about
      ? clause.replace(/^(?:它|他|她)?(?:的)?(?=名字|今年|也|就|很|叫|是|喜欢|爱|最|会|有|住)/u, about)
      : clause;
    const text = /^(?:它|他|她)/.test(resolved) ? clause : resolved;
    const draft = fitClause(text);
    if (draft) {
      found.statements.push(statement({ ...draft, correction: draft.correction || found.correcting }, text));
      about = antecedent(draft) ?? about;
    } else if (found.correcting) {
      const amended = AMENDED.exec(clause);
      if (amended) found.amendment ??= { ...(amended[2] && { relation: '叫' }), object: amended[3]! };
    }
  }
  if (taught && found.statements.length === 0) {
    const note = rest.join('，');
    if (isNote(note))
      found.statements.push(
        statement({ subject: '', relation: 'note', object: note, single: false, correction: found.correcting }, note),
      );
  }
  if (found.statements.length > 0 || found.amendment) found.correcting = false;
  return found;
}

/** A note must look like a claim: some length, and nothing that asks her to do something now. */
function isNote(note: string): boolean {
  return (
    note.length >= 4 &&
    note.length <= 60 &&
    !/^(?:你|请|帮|给我|我们来|来|快|别|不要|画|写|唱|讲|念|背|我教|我来|怎么)/.test(note)
  );
}

function statement(draft: Draft, text: string): Statement {
  return {
    subject: draft.subject,
    relation: draft.relation,
    object: draft.object,
    single: draft.single,
    correction: draft.correction ?? false,
    text,
    lang: 'zh',
  };
}

function stripLeadIns(raw: string): { clause: string; taught: boolean; correcting: boolean } {
  let clause = raw.replace(/^[\s“"「]+(?=[^”"」]*$)/u, '');
  let taught = false;
  let correcting = false;
  for (let before = ''; before !== clause; ) {
    before = clause;
    clause = clause.replace(ADDRESS, '').replace(TEACH_PLAIN, '');
    const teach = `${clause}，`.match(TEACH_MARKED) ?? clause.match(REMEMBER);
    if (teach && teach[0].length > 0) {
      taught = true;
      clause = clause.slice(Math.min(teach[0].length, clause.length));
    }
    const correct = clause.match(CORRECTION);
    if (correct && correct[0].length > 0) {
      correcting = true;
      clause = clause.slice(correct[0].length);
    }
  }
  return { clause: clause.trim(), taught, correcting };
}
