/**
 * The word lists of the filter, written for this project and small on purpose: each entry is a pattern somebody has read
 * and can argue about. Patterns see folded text (`normalise.ts`): lower case, one width, no gaps between Han characters.
 */

/** Someone may be in danger or in pain: the message is answered kindly, and an adult's help is named beside it. */
export const DISTRESS: RegExp[] = [
  /(?<!他|她|它|主角|英雄)(?:不想活|活不下去|想死(?!你|我了|他|她|妈妈|爸爸)|想自杀|要自杀|去自杀|自残|割腕|割自己|伤害(?:我)?自己|结束(?:自己的|我的)?生命|跳楼自|想跳楼|离家出走)/,
  /(?:活着|人生|我)(?:真的?|太|很)?没(?:有)?(?:什么)?意思.{0,6}(?:死|不想)/,
  /(?:爸爸?|妈妈?|爷爷|奶奶|叔叔|舅舅|哥哥|姐姐|老师|继父|后妈|家人|大人)(?:又|总|老|天天|经常|一直|昨天|今天|会)?(?:用.{1,6})?(?:打我|揍我|踢我|掐我|虐待我|骂我是|摸我(?!的?头|的?脸|脑袋))/,
  /(?:被|遭(?:到)?)(?:[^，。！？]{0,8})(?:欺负|霸凌|孤立|虐待|家暴|性侵|猥亵|勒索|殴打)/,
  /(?:他们|她们|同学(?:们)?|大家|有人|高年级的?)(?:都|总|老|一直|天天|经常)?(?:欺负|霸凌|孤立|嘲笑|勒索|殴打)我/,
  /摸我(?:的)?(?:隐私|下面|屁股|胸)|(?:让|要|叫|逼)我脱(?:掉)?(?:衣服|裤子)/,
  /\b(?:i (?:want|wanna|am going|'m going|plan) to|i'd rather|wish i (?:could|would)) (?:die|be dead|kill myself|hurt myself|end (?:it all|my life))\b/,
  /\b(?:kill|hurt|cut|cutting|hurting|killing) (?:myself|my wrists?)\b|\bsuicid(?:e|al)\b|\bself[- ]harm|\bend my life\b|\bwish i (?:was|were) dead\b|\bdon't want to (?:live|be alive)\b|\bno reason to live\b/,
  /\b(?:dad|daddy|father|mom|mum|mother|uncle|aunt|stepdad|stepfather|brother|teacher|coach|parents?|somebody|someone|he|she|they) (?:always |often |keeps? |sometimes )?(?:hits?|hitting|beats?|beating|kicks?|punched|abuses?|abused|hurts?|molest(?:s|ed)) me\b/,
  /\b(?:bully|bullies|bullied|bullying) me\b|\b(?:being|am|get|getting|got|'m) (?:bullied|abused|beaten|molested)\b/,
  /\b(?:touch(?:es|ed)?|touching) (?:me|my) (?:there|down there|private)|\brun(?:ning)? away from home\b/,
];

/** Requests no student answers: violence to people, sex, hate, dangerous making. She was trained to decline them. */
export const UNSUITABLE: RegExp[] = [
  /(?:怎么|如何|教我|帮我|想要?|打算|方法).{0,8}(?:杀(?:了|死|掉)?(?:人|他|她|同学|老师|爸|妈|别人|我的?同学)|弄死(?:人|他|她)|砍(?:人|他|她|死)|捅(?:人|他|她|死)|下毒|毒死(?:人|他|她)|绑架)/,
  /(?:怎么|如何|教我|帮我|配方|步骤).{0,8}(?:做|造|制作?|制造|合成|买|弄).{0,6}(?:炸弹|炸药|枪支|手枪|毒品|冰毒|海洛因|燃烧瓶|毒药)/,
  /(?:炸弹|炸药|冰毒|海洛因|燃烧瓶)(?:怎么|如何|的)?(?:做|造|制作|配方|合成)/,
  /色情|黄片|成人(?:视频|电影|网站)|裸照|做爱|性交|约炮|毛片|h漫|自慰|(?:脱光|裸体).{0,4}(?:照|视频|给我)|(?:写|讲|看|发).{0,4}(?:黄色|情色)(?:小说|故事|图片|视频|笑话)/,
  /(?:所有|那些|全部)?(?:[一-龥]{1,4}族|[一-龥]{1,4}国|黑|白|外地|乡下|残疾)人(?:都|全)?(?:该死|去死|应该(?:死|消失|被杀)|是(?:垃圾|低等|劣等|畜生))/,
  /\b(?:how (?:do|can|to|would)|teach me|help me|tell me how|show me how|i (?:want|plan) to)\b.{0,24}\b(?:kill (?!time|the (?:lights?|engine|process)|a (?:process|plant|weed)|weeds|bacteria|germs|myself|mosquito|flies|bugs)|murder|poison (?:a |my |him|her|them|some)|stab|kidnap|strangle)/,
  /\b(?:make|build|buy|get|cook|synthesi[sz]e)\b.{0,12}\b(?:bombs?|explosives?|meth|heroin|cocaine|a gun|guns|molotov|napalm)\b/,
  /\b(?:porn|pornography|nude (?:photo|pic|picture|image)s?|nudes|hentai|sex (?:video|story|scene|tape)|have sex|sexy (?:photo|pic|story)|masturbat\w*|blowjob|orgasm)\b/,
  /\b(?:all|those|these) (?:\w+ )?(?:people|jews|muslims|christians|blacks|whites|asians|arabs|immigrants|foreigners|gays|women|men) (?:should|must|deserve to) (?:die|be killed|be dead|disappear)\b/,
  /\b(?:are|is) (?:subhuman|vermin)\b/,
];

/** What must not leave her mouth even so: stricter than the list above, since no question excuses it. */
export const UNSPEAKABLE: RegExp[] = [
  /去死吧|杀了(?:你|他|她|你们|他们)|弄死(?:你|他|她)|砍死|捅死|(?:你|他|她)(?:就)?该死|(?:你|他|她)怎么不去死/,
  /色情|黄片|裸照|做爱|性交|约炮|自慰|阴茎|阴道|乳房(?!癌)|强奸/,
  /你(?:真|就)?是(?:个)?(?:垃圾|废物|贱人|畜生|婊子|傻逼)|傻逼|操你|他妈的|狗日的/,
  /(?:割腕|跳楼|上吊|吞药)(?:吧|就好|就行|试试)/,
  /\b(?:kill yourself|go die|i(?:'ll| will) kill (?:you|him|her|them)|you should die|you deserve to die)\b/,
  /\b(?:porn\w*|fuck\w*|shit(?:ty|s)?|bitch(?:es)?|cunt|asshole|motherfuck\w*|have sex|blowjob|penis|vagina|rape[ds]?)\b/,
  /\b(?:cut your wrists?|hang yourself|overdose on)\b/,
];
