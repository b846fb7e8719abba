/**
 * Every error a person can meet: its code, HTTP status, and what it says in Chinese and English — what happened and what
 * to do next. Anything thrown anywhere becomes one of these through `toUserError`. Not for engineers: the original error
 * goes to the log.
 */
import { ZodError } from 'zod';
import type { ModelErrorCode } from '../agent/model/index.ts';
import type { SafetyCode } from '../agent/types.ts';
import type { UserError } from './protocol.ts';

interface Wording {
  status: number;
  zh: string;
  en: string;
}

const OWN = {
  MESSAGE_EMPTY: {
    status: 400,
    zh: '消息是空的。写点什么再发送吧。',
    en: 'The message is empty. Write something, then send it.',
  },
  MESSAGE_TOO_LONG: {
    status: 413,
    zh: '消息太长了，最多 4000 个字。请分成几条发送。',
    en: 'The message is too long; 4,000 characters at most. Please send it in parts.',
  },
  MESSAGE_ID_TAKEN: {
    status: 409,
    zh: '这条消息的编号已被别的消息用了。请刷新页面后重新发送。',
    en: 'Another message already uses this id. Reload the page and send yours again.',
  },
  BAD_FRAME: {
    status: 400,
    zh: '服务器看不懂这个请求。请刷新页面再试。',
    en: 'The server could not understand this request. Reload the page and try again.',
  },
  NO_SESSION: {
    status: 401,
    zh: '你还没有进来，或者登录已过期。刷新页面就可以继续。',
    en: 'You are not signed in, or your session has ended. Reload the page to go on.',
  },
  NO_SUCH_ROOM: {
    status: 404,
    zh: '没有这个房间。请检查链接，或向老师要一个加入码。',
    en: 'There is no such room. Check the link, or ask the teacher for a join code.',
  },
  NOT_A_MEMBER: {
    status: 403,
    zh: '你还不在这个房间里。请先输入加入码。',
    en: 'You are not in this room yet. Enter its join code first.',
  },
  NO_SUCH_GENERATION: {
    status: 404,
    zh: '没有找到这个回答，它可能已经被删除了。',
    en: 'That reply was not found; it may have been deleted.',
  },
  NO_SUCH_MESSAGE: {
    status: 404,
    zh: '没有找到这条消息，它可能已经被删除了。',
    en: 'That message was not found; it may have been deleted.',
  },
  NOT_FOUND: {
    status: 404,
    zh: '没有这个页面。请回到首页。',
    en: 'There is nothing here. Go back to the start page.',
  },
  RATE_LIMITED: {
    status: 429,
    zh: '发得太快了，歇一歇再试。',
    en: 'That was too fast. Wait a moment, then try again.',
  },
  BUSY: {
    status: 503,
    zh: '小禾正忙着回答很多问题，请过一会儿再发。',
    en: 'Xiaohe is busy with many questions. Please try again in a moment.',
  },
  DATABASE_AWAY: {
    status: 503,
    zh: '暂时连不上数据库。你写的内容还在，恢复后请再试一次。',
    en: 'The database cannot be reached right now. What you wrote is kept; try again once it is back.',
  },
  DATABASE_REFUSED: {
    status: 503,
    zh: '数据库拒绝了连接。请检查 DATABASE_URL 里的用户名、密码和库名。',
    en: 'The database refused the connection. Check the user, password and database name in DATABASE_URL.',
  },
  DATABASE_BROKEN: {
    status: 500,
    zh: '数据目录里的数据库打不开，可能已损坏。请用备份恢复，或把 XIAOHE_DATA_DIR 换成新的目录（旧的不会被删除）。',
    en: 'The database in the data directory cannot be opened and may be damaged. Restore a backup, or set XIAOHE_DATA_DIR to a new directory (the old one is kept).',
  },
  MIGRATION_FAILED: {
    status: 500,
    zh: '数据库升级失败，没有改动任何数据。请看日志里的原因。',
    en: 'Upgrading the database failed and nothing was changed. The log says why.',
  },
  DISK_FULL: {
    status: 507,
    zh: '服务器的磁盘满了，没能保存。请通知管理员清理磁盘，然后再试。',
    en: 'The server’s disk is full, so this was not saved. Ask whoever runs it to free some space, then try again.',
  },
  DATA_DIR_READONLY: {
    status: 503,
    zh: '数据目录不可写，没能保存。请让管理员检查 XIAOHE_DATA_DIR 的权限。',
    en: 'The data directory cannot be written, so this was not saved. Ask whoever runs it to check the permissions of XIAOHE_DATA_DIR.',
  },
  SECOND_PROCESS: {
    status: 503,
    zh: '另一个小禾正在使用这个数据目录。请先停掉它，或换一个 XIAOHE_DATA_DIR；要同时运行几个，请设置 DATABASE_URL。',
    en: 'Another Xiaohe is using this data directory. Stop it, or choose another XIAOHE_DATA_DIR; to run several at once, set DATABASE_URL.',
  },
  PORT_TAKEN: {
    status: 503,
    zh: '端口已被占用。请停掉占用它的程序，或用 PORT=8700 这样的设置换一个端口。',
    en: 'The port is already in use. Stop the program that holds it, or choose another, for example PORT=8700.',
  },
  HOST_UNAVAILABLE: {
    status: 503,
    zh: '不能在这个地址上监听。请检查 HOST 和 PORT 的设置。',
    en: 'Cannot listen on this address. Check the HOST and PORT settings.',
  },
  CONFIG_INVALID: {
    status: 500,
    zh: '有一项设置不对，见下面的说明。改好后再启动。',
    en: 'A setting is wrong, as explained below. Correct it and start again.',
  },
  PAGE_NOT_BUILT: {
    status: 503,
    zh: '网页还没有构建。请用 npm start 启动，它会自动构建。',
    en: 'The web page has not been built yet. Start with npm start, which builds it.',
  },
  REPLY_INTERRUPTED: {
    status: 503,
    zh: '服务器中途停了一下，这个回答没有说完。点“重试”让她再说一次。',
    en: 'The server stopped in the middle, so this reply is unfinished. Press Retry to ask again.',
  },
  REPLY_WITHHELD: {
    status: 200,
    zh: '这个回答没有通过安全检查，所以收回了。换个说法再问问看。',
    en: 'This reply did not pass the safety check and was taken back. Try asking in another way.',
  },
  ORIGIN_FORBIDDEN: {
    status: 403,
    zh: '这个网页不允许连接这台服务器。请从服务器自己的地址打开，或让管理员把它加入 XIAOHE_ORIGINS。',
    en: 'This page may not talk to this server. Open the server’s own address, or ask for it to be added to XIAOHE_ORIGINS.',
  },
  JOIN_CODE_UNKNOWN: {
    status: 404,
    zh: '没有这个加入码，或者它过期了。请向老师要一个新的。',
    en: 'This join code is unknown or has expired. Ask the teacher for a new one.',
  },
  MODEL_LOADING: {
    status: 503,
    zh: '小禾刚醒，还在翻开课本。你的消息已经存好，马上回答。',
    en: 'Xiaohe has just woken up and is opening her books. Your message is kept and will be answered shortly.',
  },
  API_KEYS_UNSET: {
    status: 401,
    zh: '这台服务器还没有 API 密钥。请运行 openssl rand -hex 24 生成一个，写进设置 XIAOHE_API_KEYS，然后重启服务器。',
    en: 'This server has no API key yet. Make one with `openssl rand -hex 24`, put it into the setting XIAOHE_API_KEYS and restart the server.',
  },
  API_KEY_WRONG: {
    status: 401,
    zh: 'API 密钥缺失或不对。请发送请求头 Authorization: Bearer <密钥>；管理员可用 openssl rand -hex 24 生成密钥，写进 XIAOHE_API_KEYS。',
    en: 'The API key is missing or wrong. Send the header Authorization: Bearer <key>; whoever runs the server makes keys with `openssl rand -hex 24` and puts them into XIAOHE_API_KEYS.',
  },
  API_MODEL_UNKNOWN: {
    status: 404,
    zh: '没有这个模型。GET /v1/models 会列出可用的模型。',
    en: 'There is no such model. GET /v1/models lists what is served.',
  },
  API_URL_UNKNOWN: {
    status: 404,
    zh: 'API 没有这个地址。请检查路径和方法。',
    en: 'The API has no such address. Check the path and the method.',
  },
  API_BODY_BROKEN: {
    status: 400,
    zh: '请求体不是有效的 JSON。',
    en: 'The request body is not valid JSON.',
  },
  API_BODY_TOO_LARGE: {
    status: 413,
    zh: '请求体太大了，最多 1 MiB。',
    en: 'The request body is too large; 1 MiB at most.',
  },
  API_NOT_JSON: {
    status: 415,
    zh: '请用 JSON 发送请求，并带上请求头 Content-Type: application/json。',
    en: 'Send the request as JSON, with the header Content-Type: application/json.',
  },
  API_NOT_READY: {
    status: 503,
    zh: '服务器正在启动或停止，模型还不能回答。请过几秒再试。',
    en: 'The server is starting or stopping and the model cannot answer yet. Try again in a few seconds.',
  },
  SHUTTING_DOWN: {
    status: 503,
    zh: '服务器正在重启，请过几秒再试。你写的内容还在。',
    en: 'The server is restarting. What you wrote is kept; try again in a few seconds.',
  },
  INTERNAL: {
    status: 500,
    zh: '出了点意外，已经记录下来。请再试一次。',
    en: 'Something unexpected went wrong and has been logged. Please try again.',
  },
} satisfies Record<string, Wording>;

const MODEL = {
  CHECKPOINT_MISSING: {
    status: 503,
    zh: '找不到小禾的模型文件。请检查 XIAOHE_CHECKPOINT，或重新下载项目。',
    en: 'Xiaohe’s model files were not found. Check XIAOHE_CHECKPOINT, or fetch the project again.',
  },
  CHECKPOINT_BROKEN: {
    status: 503,
    zh: '小禾的模型文件已损坏。请重新下载项目，或用 XIAOHE_CHECKPOINT 指向完好的一份。',
    en: 'Xiaohe’s model files are damaged. Fetch the project again, or point XIAOHE_CHECKPOINT at a good copy.',
  },
  CHECKPOINT_UNSUPPORTED: {
    status: 503,
    zh: '不支持这种模型文件。请用 XIAOHE_CHECKPOINT 指向 Qwen3-MoE 格式的目录。',
    en: 'This kind of checkpoint is not supported. Point XIAOHE_CHECKPOINT at a Qwen3-MoE directory.',
  },
  ENGINE_UNAVAILABLE: {
    status: 503,
    zh: '所选的计算引擎在这台机器上用不了。请去掉 XIAOHE_ENGINE，让程序自动选择。',
    en: 'The chosen engine does not work on this machine. Unset XIAOHE_ENGINE to let the program choose.',
  },
  ENGINE_CRASHED: {
    status: 503,
    zh: '计算引擎出错了，这个回答没有完成。请点“重试”。',
    en: 'The engine failed, so this reply was not finished. Press Retry.',
  },
  CONTEXT_TOO_LONG: {
    status: 413,
    zh: '这段话太长，小禾一次读不完。请缩短一些再发。',
    en: 'This is longer than Xiaohe can read at once. Please shorten it.',
  },
  CONSTRAINT_IMPOSSIBLE: {
    status: 422,
    zh: '按这个要求，小禾写不出来。换一个上联或要求试试。',
    en: 'Xiaohe cannot write under these rules. Try another line or other rules.',
  },
  CONSTRAINT_UNSUPPORTED: {
    status: 400,
    zh: '这种格式要求小禾还不会遵守。请换一种更简单的格式。',
    en: 'Xiaohe cannot keep to this kind of format. Please ask for a simpler one.',
  },
  REMOTE_FAILED: {
    status: 502,
    zh: '远程模型没有回答。请检查 XIAOHE_REMOTE_URL 指向的服务，然后点“重试”。',
    en: 'The remote model did not answer. Check the server at XIAOHE_REMOTE_URL, then press Retry.',
  },
  EXPORT_EXISTS: {
    status: 409,
    zh: '那里已经有东西了，没有改动它。请换一个位置，或加上 --force 覆盖。',
    en: 'Something is already there and was left as it is. Choose another place, or add --force to overwrite it.',
  },
  EXPORT_FAILED: {
    status: 500,
    zh: '导出没有写成，也没有留下半个文件。请检查目录是否存在、可写，磁盘是否还有空间。',
    en: 'The export could not be written; no half-written file was left. Check that the folder exists and is writable and that the disk has room.',
  },
  PICTURE_UNREADABLE: {
    status: 400,
    zh: '这张图片读不出来，可能已损坏或不是 PNG。请换一张，或重新画一张再发。',
    en: 'This picture cannot be read; it may be damaged or not a PNG. Send another one, or draw it again.',
  },
  PICTURE_TOO_LARGE: {
    status: 413,
    zh: '这张图片太大了，最多 400 万像素。请缩小后再发。',
    en: 'This picture is too large; 4 megapixels at most. Make it smaller and send it again.',
  },
  TOKEN_OUT_OF_RANGE: {
    status: 500,
    zh: '模型和词表对不上。请检查 XIAOHE_CHECKPOINT 目录是否完整。',
    en: 'The model and its vocabulary do not match. Check that the XIAOHE_CHECKPOINT directory is complete.',
  },
} satisfies Record<Exclude<ModelErrorCode, 'BUSY'>, Wording>;

const SAFETY = {
  SAFETY_DISTRESS: {
    status: 200,
    zh: '听起来你很难受。请现在就告诉一位你信任的大人，比如爸爸妈妈或老师。如果你或别人有危险，请马上拨打 110 或 120；也可以拨打 12355 青少年服务热线。',
    en: 'It sounds as if you are having a very hard time. Please tell an adult you trust now, such as a parent or a teacher. If you or someone else is in danger, call your local emergency number at once.',
  },
  SAFETY_PRIVATE_DATA: {
    status: 200,
    zh: '这里面好像有电话、地址或证件号这样的私人信息。小禾不会记住它；也请不要发给网上的任何人。',
    en: 'This seems to hold private details such as a phone number, address or ID. Xiaohe will not remember them; please do not share them with anyone online.',
  },
  SAFETY_UNSUITABLE: {
    status: 200,
    zh: '这个话题不适合在这里聊。我们换一个吧；如果有人对你说了这样的话，请告诉老师或家长。',
    en: 'This is not something to talk about here. Let’s change the subject; if someone said this to you, tell a teacher or a parent.',
  },
} satisfies Record<SafetyCode, Wording>;

const TABLE: Record<ErrorCode, Wording> = { ...OWN, ...MODEL, ...SAFETY };
export type ErrorCode = keyof typeof OWN | keyof typeof MODEL | keyof typeof SAFETY;

/** An error on purpose. `message` is for the log; people read the wording of `code`. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly retryAfterMs: number | undefined;
  constructor(code: ErrorCode, message?: string, options?: { cause?: unknown; retryAfterMs?: number }) {
    super(message ?? TABLE[code].en, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.retryAfterMs = options?.retryAfterMs;
  }
}

export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(TABLE, code);
}

/** The words for a code. An unknown code, for example one stored by a newer version, reads as INTERNAL. */
export function wordError(code: string, retryAfterMs?: number): UserError {
  const known = isErrorCode(code) ? code : 'INTERNAL';
  const { zh, en } = TABLE[known];
  return { code: known, message: { zh, en }, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

export function statusOf(code: string): number {
  return isErrorCode(code) ? TABLE[code].status : 500;
}

/** PostgreSQL SQLSTATE and Node system codes by what they mean to a person. */
const SYSTEM_CODES: Record<string, ErrorCode> = {
  '53100': 'DISK_FULL',
  ENOSPC: 'DISK_FULL',
  EDQUOT: 'DISK_FULL',
  '25006': 'DATA_DIR_READONLY',
  EROFS: 'DATA_DIR_READONLY',
  EACCES: 'DATA_DIR_READONLY',
  EPERM: 'DATA_DIR_READONLY',
  '28000': 'DATABASE_REFUSED',
  '28P01': 'DATABASE_REFUSED',
  '3D000': 'DATABASE_REFUSED',
  '53300': 'DATABASE_AWAY',
  '55P03': 'DATABASE_AWAY',
  '57014': 'DATABASE_AWAY',
  '57P01': 'DATABASE_AWAY',
  '57P02': 'DATABASE_AWAY',
  '57P03': 'DATABASE_AWAY',
  ECONNREFUSED: 'DATABASE_AWAY',
  ECONNRESET: 'DATABASE_AWAY',
  EPIPE: 'DATABASE_AWAY',
  ETIMEDOUT: 'DATABASE_AWAY',
  ENOTFOUND: 'DATABASE_AWAY',
  EAI_AGAIN: 'DATABASE_AWAY',
  EHOSTUNREACH: 'DATABASE_AWAY',
};
/** The driver throws these without a code. */
const DRIVER_MESSAGES =
  /Connection terminated|timeout exceeded when trying to connect|not queryable|Query read timeout|pool after calling end|Client was closed/;
/** SQLSTATE class 08: connection exceptions. */
const CONNECTION_CLASS = /^08...$/;

export function codeOf(error: unknown): ErrorCode {
  if (error instanceof ZodError) return codeOfZod(error);
  if (!(error instanceof Error)) return 'INTERNAL';
  const code = (error as { code?: unknown }).code;
  if (isErrorCode(code)) return code;
  if (typeof code === 'string') {
    // Whatever keeps a socket from connecting (a missing Unix socket is ENOENT), only the database is connected to.
    if ((error as { syscall?: unknown }).syscall === 'connect') return 'DATABASE_AWAY';
    const known = SYSTEM_CODES[code];
    if (known) return known;
    if (CONNECTION_CLASS.test(code)) return 'DATABASE_AWAY';
  }
  if (DRIVER_MESSAGES.test(error.message)) return 'DATABASE_AWAY';
  return 'INTERNAL';
}

function codeOfZod(error: ZodError): ErrorCode {
  for (const issue of error.issues) {
    if (issue.path.at(-1) !== 'text') continue;
    if (issue.code === 'too_big') return 'MESSAGE_TOO_LONG';
    if (issue.code === 'too_small') return 'MESSAGE_EMPTY';
  }
  return 'BAD_FRAME';
}

/** What a person reads about anything that was thrown. Never carries the original message, which may hold private data. */
export function toUserError(error: unknown): UserError {
  const retryAfterMs = (error as { retryAfterMs?: unknown } | null)?.retryAfterMs;
  return wordError(codeOf(error), typeof retryAfterMs === 'number' ? retryAfterMs : undefined);
}

/** True for errors that pass by themselves once the database answers again. */
export function isDatabaseAway(error: unknown): boolean {
  return codeOf(error) === 'DATABASE_AWAY';
}

/** Also true while a disk is full: a write tried again later may succeed. */
export function passesByItself(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'DATABASE_AWAY' || code === 'DISK_FULL';
}
