"""Elements (诉求要素): when it happens, who owns the facility, who causes the matter.

Spans are half-open character offsets into the text that was given. Actors come ranked: the one who
*causes* the matter first. A party that is only asked for help (向物业反映), only looks away
(物业不管), only marks a place (学校门口) or is the caller (我是商户) does not cause it; the first two
are kept behind the causes, because a ticket without any other party is about them.
"""

from __future__ import annotations

import re
from typing import Final

from jiesu_nlp.suggestion import Element, Elements, Span
from jiesu_nlp.text.matcher import HeadedPattern, WordMatcher
from jiesu_nlp.vocabulary import Actor, Owner

# --- times --------------------------------------------------------------------------------------

_NUMBER: Final = "[0-9一二三四五六七八九十两半]"
_DAY: Final = (
    f"(?:(?:19|20)?[0-9]{{2}}年(?:[0-9]{{1,2}}月(?:份|底|初|中旬|上旬|下旬)?)?(?:[0-9]{{1,2}}[日号])?"
    "|(?:19|20)[0-9]{2}[-./][0-9]{1,2}(?:[-./][0-9]{1,2})?"
    f"|(?:[今去前明]|当|同)年(?:{_NUMBER}{{1,3}}月(?:份|底|初)?)?(?:{_NUMBER}{{1,3}}[日号])?(?:年?[初底])?"
    f"|{_NUMBER}{{1,3}}月(?:份|底|初|中旬|上旬|下旬|{_NUMBER}{{1,3}}[日号])"
    "|[昨今明前后当][天日晚早]|大前天|近日|最近|这几天|近期|目前"
    "|[上下本这每]个?(?:周|星期|礼拜)[一二三四五六日天末]"
    "|每[天日晚早周月年夜]|天天|整天|整夜|全天|24小时|[上下本这每]个?(?:周|星期|礼拜|月)[一二三四五六日天末]?"
    "|(?:周|星期|礼拜)[一二三四五六日天末]|周末|节假日|春节|国庆|五一|十一期间|暑假|寒假|供暖季"
    f"|(?:近|已?持续|已经?|长达|连续)?{_NUMBER}{{1,3}}多?(?:个多?)?(?:月|年|天|周|星期|小时|晚上)(?:了|以来|多|左右|前|之久)"
    ")"
)
_HOUR: Final = (
    "(?:(?:凌晨|清晨|早晨|早上|上午|中午|下午|傍晚|晚上|晚间|夜间|夜里|深夜|半夜|午夜|后半夜|白天|一大早|通宵|三更半夜)"
    f"(?:{_NUMBER}{{1,3}}(?:点钟?|时|[:：])(?:半|[0-9]{{1,2}}分?|多|左右)*)?"
    f"|(?<![0-9])[0-9]{{1,2}}(?:点钟?|[:：][0-5][0-9])(?:半|多|左右)?)"
)
_UNTIL: Final = "(?:到|至|[-—~～])"
_TIME: Final = HeadedPattern(
    "0-9一二三四五六七八九十两半今去前明当同昨后大近最这目上下本每天整全周星礼节春国暑寒供已持长连凌清早中傍晚夜深午白通",
    f"{_DAY}(?:的?{_HOUR})?(?:{_UNTIL}(?:{_DAY}|{_HOUR}))?|{_HOUR}(?:{_UNTIL}{_HOUR})?",
    # Most 一 and 上 begin no time.
    seconds="0-9一二三四五六七八九十两半年月日天周星礼拜期末晚早夜晨午上里间前近几个假节庆暖持经续达多小大宵更点:：",
)
# --- owners and actors --------------------------------------------------------------------------

_OWNERS: Final[dict[Owner, str]] = {
    Owner.WATER: "自来水公司 自来水集团 水务集团 供水公司 供水单位 自来水厂",
    Owner.DRAINAGE: "排水集团 排水公司 北排 市政排水",
    Owner.POWER: "供电公司 供电局 供电所 国家电网 国网 电力公司 电业局",
    Owner.GAS: "燃气公司 燃气集团 天然气公司 煤气公司",
    Owner.HEATING: "热力公司 热力集团 供热公司 供暖公司 供热单位 供暖单位 锅炉房 换热站 热力站",
    Owner.TELECOM: "中国移动 中国联通 中国电信 移动公司 联通公司 电信公司 铁塔公司 歌华有线 通信公司",
    Owner.METRO: "地铁公司 地铁运营 京港地铁 京城地铁 轨道公司 轨道交通公司",
    Owner.BUS: "公交集团 公交公司 公交总公司",
    Owner.RAILWAY: "铁路局 铁路部门 铁路公司 国铁 京铁 铁路职工 铁路产权",
    Owner.AVIATION: "机场集团 首都机场 大兴机场 航空公司 民航局",
    Owner.EXPRESSWAY: "首发集团 高速公司 高速公路公司 高速集团",
    Owner.MILITARY: "部队 军产 军队 军区 武警 干休所 部队大院 军管",
    Owner.CENTRAL: "中央单位 中央国家机关 央产房 央产 国管局 中直 部委 国务院机关 机关服务局 央企",
    Owner.CITY_FIRM: "首开集团 首开 房管所 天岳恒 城建集团 住总集团 建工集团 首钢 环卫集团 公联公司 市属国企 北投集团",
    Owner.DEVELOPER: "开发商产权 开发商自持 开发商所有",
    Owner.PROPERTY_COMPANY: "物业公司负责 物业管理范围 物业产权 物业负责维护",
    Owner.TITLE_HOLDER: "产权单位 产权人 产权方 单位自管 自管房 自管小区 单位宿舍 家属院 权属单位 单位产权",
    Owner.MUNICIPAL: "市政部门 市政管线 市政道路 市政公司 市政设施 养护中心 养护集团 养护单位 路灯管理",
    Owner.COLLECTIVE: "村集体 集体土地 集体产权 经济合作社 村股份社 小产权",
    Owner.PRIVATE: "私人所有 个人所有 私产 自建房 私有房屋",
}
_ACTORS: Final[dict[Actor, str]] = {
    Actor.MERCHANT: (
        "商户 商家 店家 店铺 饭店 饭馆 餐馆 餐厅 餐饮店 烧烤店 烤串店 火锅店 超市 便利店 理发店 美发店 美容院 "
        "健身房 健身中心 洗车店 修车店 酒吧 ktv KTV 歌厅 洗浴中心 网吧 棋牌室 麻将馆 门店 底商 菜市场 商场 4S店 "
        "药店 酒店 宾馆 民宿 水果店 早餐店 面馆 奶茶店 门面 经营者 汽修厂 商店 夜宵店 旅行社 洗衣店 房车店"
    ),
    Actor.STREET_VENDOR: (
        "游商 小贩 商贩 摊贩 摊主 摆摊 烧烤摊 地摊 流动摊 早点摊 小吃摊 水果摊 三轮车卖 占道经营 夜市摊"
    ),
    Actor.PROPERTY_COMPANY: "物业公司 物业服务企业 物业企业 物业 物管公司 物业管理公司 小区保安 物业经理",
    Actor.NEIGHBOUR: "楼上邻居 楼下邻居 邻居 楼上住户 楼下住户 对门 隔壁住户 楼上业主 楼上 楼下一户 隔壁 租户 群租 邻里",
    Actor.BUILDER: "施工方 施工队 施工单位 工地 建筑工地 施工人员 承包商 包工头 装修队 装修公司 渣土车 总包 施工现场",
    Actor.DEVELOPER: "开发商 房地产公司 售楼处 售楼部 置业公司 开发公司 建设单位 房开",
    Actor.AGENT: "房产中介 中介公司 中介 房屋中介 链家 我爱我家 中介机构",
    Actor.LANDLORD: "房东 二房东 出租方 公寓管理方 长租公寓",
    Actor.EMPLOYER: "用人单位 老板 公司拖欠 单位拖欠 劳务公司 厂方 雇主 原单位 工作单位 劳务派遣 我单位 我公司",
    Actor.PLATFORM: "网购平台 电商平台 平台 淘宝 京东 拼多多 美团 饿了么 抖音 滴滴 网约车 共享单车公司 网店 app客服",
    Actor.SCHOOL: "学校 幼儿园 小学 中学 高中 大学 学院 校方 园方 班主任 老师",
    Actor.TRAINING: "培训机构 培训班 培训学校 补习班 辅导班 教育机构 早教机构 驾校 托管班 早教中心",
    Actor.HOSPITAL: "医院 诊所 卫生院 卫生服务中心 社区卫生站 医生 口腔门诊 院方 体检中心",
    Actor.BANK: "银行 保险公司 贷款公司 小额贷 信用卡中心 催收 理财公司 证券公司",
    Actor.FACTORY: "工厂 化工厂 加工厂 搅拌站 养殖场 养猪场 厂家 企业排 印刷厂 水泥厂 喷漆厂 木材厂 仓库",
    Actor.DRIVER: "司机 车主 大货车 货车 私家车 社会车辆 外来车辆 僵尸车 黑车 出租车 三蹦子 电动车主 摩托车 炸街",
    Actor.DOG_OWNER: "养犬人 养狗的 狗主人 遛狗 狗主 养狗人 养狗 大型犬 养犬",
    Actor.COURIER: "快递员 快递公司 快递 外卖员 外卖小哥 骑手 驿站 顺丰 菜鸟",
    Actor.CARE_HOME: "养老院 敬老院 养老机构 养老驿站 护理院 养老中心",
    Actor.UTILITY: (
        "自来水公司 自来水集团 供水公司 排水集团 供电公司 供电局 国家电网 电力公司 燃气公司 燃气集团 天然气公司 "
        "热力公司 热力集团 供热公司 供暖公司 地铁公司 公交公司 公交集团 中国移动 中国联通 中国电信 移动公司 "
        "联通公司 电信公司 歌华有线"
    ),
    Actor.COMMITTEE: "居委会 村委会 业委会 社区居委会 村干部 村书记 物管会 社区书记 社区工作人员 村支书",
    Actor.AGENCY: (
        "街道办 街道办事处 镇政府 乡政府 派出所 城管 交警 交警队 教育局 教委 规划局 市监局 市场监管局 工商局 环保局 "
        "住建局 住建委 房管局 社保局 税务局 公安局 民政局 窗口工作人员 执法人员 政务大厅 办事窗口 县政府 区政府"
    ),
}


def _table(groups: dict[Owner, str] | dict[Actor, str]) -> dict[str, str]:
    return {word: key.value for key, words in groups.items() for word in words.split()}


_OWNER_OF: Final = _table(_OWNERS)
_ACTOR_OF: Final = _table(_ACTORS)
_MATCHER: Final = WordMatcher(dict.fromkeys([*_OWNER_OF, *_ACTOR_OF]))

# --- the part an actor plays --------------------------------------------------------------------

# Asked for help: 向物业反映, 请城管查处, 希望学校能….
_ASKED: Final = re.compile(
    "(?:[向找跟给请求让叫由]|联系|拨打|希望|恳请|要求|建议|反映给|投诉给|通知|督促|责令|求助|报告|告知|咨询|去了?|归|和|与)"
    "(?:了|过|到|我们|小区|当地|属地|辖区|的|该|各级|[A-Za-z0-9])*$"
)
# Looks away or answers: 物业不管, 社区说没办法.
_BYSTANDER: Final = re.compile(
    "(?:[也都又却就则仍还总均一直方人员工作们]|至今|从来|根本|始终|表示|相互){0,6}"
    "(?:不管|不处理|不作为|不理|不予|不闻|不解决|不制止|没人管|无人|没有人|推诿|推脱|推给|踢皮球|置之不理|放任|视而不见"
    "|说|称|表示|告知|回复|答复|让我|叫我|让找|解释|来过|到场|来了|没办法|无权|协调|调解|管不了|劝阻|介入|尽快|查处|能)"
)
# Only says where: 学校门口, 饭店旁边.
_PLACE: Final = re.compile(
    "(?:的)?(?:[东西南北正大侧后前]{0,2}门|门口|门前|附近|旁边?|对面|周边|周围|后面|前面|边上|西侧|东侧|南侧|北侧|路口|北门"
    "|南门|东门|西门|一带|区域|宿舍|家属|学区|路|街)"
)
_CALLER: Final = re.compile(
    "(?:我是|我们是|本人是|本人系|我系|我在|作为)[^,，。.;；!！?？\n]{0,20}$"
)
_DENIED: Final = re.compile("(?:没有|无|并非|不是|不属于|没)(?:任何|专业|正规)?$")
# What causes do: a verb of harm close behind, or an accusation close before.
_HARM: Final = re.compile(
    "占|扰民|噪|油烟|排放|排污|堆放|堆|乱|违规|违法|私自|擅自|强制|强行|收费|收取|拖欠|欠|不退|拒绝|拒不|欺|骗|虚假|倒闭|跑路"
    "|施工|装修|漏水|吵|大声|播放|摆|烧烤|影响|污染|侵占|圈|锁|涨价|捆绑|辱骂|殴打|打人|不牵绳|伤人|咬|停放|违停|停在|挡|堵|倾倒"
    "|经营|补课|泄露|克扣|辞退|不签|不给|停水|停电|停气|态度|恶劣|无证"
)
_ACCUSED: Final = re.compile("(?:投诉|举报|反映|状告|起诉|被|遭|遇到)[^,，。.;；!！?？\n]{0,12}$")
# 武警医院, 首开路: a name, not the owner.
_NAMESAKE: Final = re.compile("医院|学院|学校|中学|小学|幼儿园|路|街|桥|公园|广场")
_CLAUSE: Final = re.compile("[,，。.;；!！?？:：\n]")
_WINDOW: Final = 14

_CAUSE: Final = 3
_NEAR: Final = 2
_LOOKS_AWAY: Final = 1
_ASKED_FOR_HELP: Final = 0
_DROPPED: Final = -1


def _part(text: str, start: int, end: int) -> int:
    """Rank the part that the actor at ``text[start:end]`` plays; negative means none."""
    before = text[max(0, start - _WINDOW - 10) : start]
    clause = _CLAUSE.split(before)[-1]
    if _DENIED.search(clause) or _CALLER.search(clause):
        return _DROPPED
    if _PLACE.match(text, end):
        return _DROPPED
    if _BYSTANDER.match(text, end):
        return _LOOKS_AWAY
    if _ASKED.search(clause):
        return _ASKED_FOR_HELP
    harm = _HARM.search(text, end, end + _WINDOW)
    if _ACCUSED.search(clause) or (harm and not _CLAUSE.search(text, end, harm.start())):
        return _CAUSE
    return _NEAR


def _times(text: str) -> tuple[Element, ...]:
    return tuple([Element(match[1], match.span(1)) for match in _TIME.find(text)])


def find_elements(text: str) -> Elements:
    """Find times, facility owners and actors.

    Parameters
    ----------
    text
        Any text, normalised or not; one demand or a whole ticket.

    Returns
    -------
    Elements
        ``time`` and ``owner`` in the order of the text, ``actor`` ranked with the causing party
        first; an owner or actor is given once, where it plays its weightiest part. Values are those
        of :class:`~jiesu_nlp.vocabulary.Owner` and :class:`~jiesu_nlp.vocabulary.Actor`, a time's
        value is its wording.
    """
    owners: dict[str, Span] = {}
    actors: dict[str, tuple[int, int, Span]] = {}
    for index, start, end in _MATCHER.find(text):
        word = _MATCHER.words[index]
        owner = _OWNER_OF.get(word)
        if owner is not None and owner not in owners and not _NAMESAKE.match(text, end):
            owners[owner] = (start, end)
        actor = _ACTOR_OF.get(word)
        if actor is not None:
            part = _part(text, start, end)
            known = actors.get(actor)
            if part >= 0 and (known is None or part > -known[0]):
                actors[actor] = (-part, start, (start, end))
    ranked = sorted(actors.items(), key=lambda item: item[1])
    return Elements(
        _times(text),
        tuple(Element(value, span) for value, span in owners.items()),
        tuple(Element(value, span) for value, (_, _, span) in ranked),
    )
