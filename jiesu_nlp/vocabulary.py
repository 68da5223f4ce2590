"""Closed vocabularies shared by every stage: the values that may appear in a suggestion.

The values an operator reads are Chinese and are also the values in the JSON contract and in
``taxonomy/``; kinds that only code and rules handle are English identifiers with a Chinese label.
"""

from __future__ import annotations

from enum import StrEnum


class RequestType(StrEnum):
    """诉求类型: the five legal kinds of request (条例 Art. 2)."""

    ENQUIRY = "咨询"
    HELP = "求助"
    COMPLAINT = "投诉"
    REPORT = "举报"
    SUGGESTION = "建议"


class Tier(StrEnum):
    """办理时限: the four handling tiers (《关于进一步深化“接诉即办”改革工作的意见》, 2020)."""

    TWO_HOURS = "2h"
    ONE_DAY = "24h"
    SEVEN_DAYS = "7d"
    FIFTEEN_DAYS = "15d"

    @property
    def hours(self) -> int:
        """Length of the tier in hours."""
        return {"2h": 2, "24h": 24, "7d": 168, "15d": 360}[self.value]

    @property
    def label(self) -> str:
        """How an operator reads it."""
        return {"2h": "2 小时", "24h": "24 小时", "7d": "7 天", "15d": "15 天"}[self.value]


class Gate(StrEnum):
    """分流情形: why a ticket may need something other than dispatch (条例 Art. 11 ¶3)."""

    NONE = "none"
    EMERGENCY = "emergency"
    STATUTORY = "statutory"
    REPEAT = "repeat"
    SECRET = "secret"
    BEYOND = "beyond"
    UNLAWFUL = "unlawful"

    @property
    def label(self) -> str:
        """How an operator reads it."""
        return _GATE_LABELS[self.value]


_GATE_LABELS = {
    "none": "无",
    "emergency": "紧急",
    "statutory": "法定渠道",
    "repeat": "重复来电",
    "secret": "涉密隐私",
    "beyond": "超出职责",
    "unlawful": "违法失当",
}


class Decision(StrEnum):
    """What the operator is advised to do with a suggestion."""

    AUTO = "auto"
    SUGGEST = "suggest"
    REVIEW = "review"


class PlaceStatus(StrEnum):
    """How far the incident place could be determined."""

    RESOLVED = "resolved"
    DISTRICT_ONLY = "district_only"
    AMBIGUOUS = "ambiguous"
    NONE = "none"


class PlaceKind(StrEnum):
    """场所类型: the kind of place, which often decides the unit (domain: same word, other unit)."""

    COMPOUND = "compound"
    STREET = "street"
    MUNICIPAL_ROAD = "municipal_road"
    HIGHWAY = "highway"
    EXPRESSWAY = "expressway"
    VILLAGE = "village"
    RIVER = "river"
    CONSTRUCTION = "construction"
    CAMPUS = "campus"
    HOSPITAL = "hospital"
    SHOP = "shop"
    MARKET = "market"
    TRANSIT = "transit"
    HUB = "hub"
    PARK = "park"
    SCENIC = "scenic"
    OFFICE = "office"
    FARMLAND = "farmland"
    ONLINE = "online"
    UNKNOWN = "unknown"

    @property
    def label(self) -> str:
        """How an operator reads it."""
        return _PLACE_KIND_LABELS[self.value]


_PLACE_KIND_LABELS = {
    "compound": "小区内",
    "street": "街巷",
    "municipal_road": "城市道路",
    "highway": "公路",
    "expressway": "高速公路",
    "village": "村庄",
    "river": "河湖",
    "construction": "工地",
    "campus": "校园",
    "hospital": "医院",
    "shop": "商户",
    "market": "市场商场",
    "transit": "轨道公交",
    "hub": "火车站机场",
    "park": "公园",
    "scenic": "景区文博",
    "office": "办公园区",
    "farmland": "农田林地",
    "online": "网络",
    "unknown": "未知",
}


class Owner(StrEnum):
    """权属: who owns or runs the facility the ticket is about."""

    PROPERTY_COMPANY = "物业企业"
    TITLE_HOLDER = "产权单位"
    MUNICIPAL = "市政养护单位"
    WATER = "供水企业"
    DRAINAGE = "排水企业"
    POWER = "供电企业"
    GAS = "燃气企业"
    HEATING = "供热企业"
    TELECOM = "通信运营商"
    METRO = "轨道企业"
    BUS = "公交企业"
    RAILWAY = "铁路"
    AVIATION = "民航"
    EXPRESSWAY = "高速公路企业"
    MILITARY = "部队"
    CENTRAL = "中央单位"
    CITY_FIRM = "市属国企"
    DEVELOPER = "开发商"
    COLLECTIVE = "村集体"
    PRIVATE = "个人"


class Actor(StrEnum):
    """行为主体: who causes the matter."""

    MERCHANT = "商户"
    STREET_VENDOR = "游商"
    PROPERTY_COMPANY = "物业"
    NEIGHBOUR = "邻居"
    BUILDER = "施工方"
    DEVELOPER = "开发商"
    AGENT = "中介"
    LANDLORD = "房东"
    EMPLOYER = "用人单位"
    PLATFORM = "平台"
    SCHOOL = "学校"
    TRAINING = "培训机构"
    HOSPITAL = "医疗机构"
    BANK = "金融机构"
    FACTORY = "工厂企业"
    DRIVER = "司机车主"
    DOG_OWNER = "养犬人"
    COURIER = "快递外卖"
    CARE_HOME = "养老机构"
    UTILITY = "公用企业"
    COMMITTEE = "居村委会"
    AGENCY = "政府部门"


_UNIT_CLASSES = """
街道乡镇 区政府 发改 教育 科技经信 民族宗教 公安 公安交管 民政 司法 财政 人社 规划自然资源 生态环境
住建房管 城市管理 城管执法 交通 水务 农业农村 商务 文化旅游 体育 卫生健康 退役军人 应急管理 消防救援
市场监管 园林绿化 金融管理 医保 公积金 税务 邮政管理 通信管理 烟草 海关 国资 残联 妇联 团委 信访
纪检监察 法院检察院 政务服务 气象地震 民航铁路 供水企业 排水企业 燃气企业 供热企业 供电企业 公交企业
轨道企业 通信运营商 广电网络 邮政企业 高速公路企业 环卫企业 网信 人防 不派单 其他
"""
UNIT_CLASSES: tuple[str, ...] = tuple(_UNIT_CLASSES.split())
"""单位类别: the classes of unit a direction may name, in the order of the contract."""

UNIT_CLASS_SET = frozenset(UNIT_CLASSES)
