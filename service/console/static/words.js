// What the codes of an answer are called.
export const ADVICE = { auto: ["可直派", "green"], suggest: ["建议派单", "blue"], review: ["请人工核定", "amber"] };
export const GATES = { emergency: "紧急，先转应急电话", statutory: "应走法定渠道", repeat: "重复来电", secret: "涉密或隐私", beyond: "超出职责", unlawful: "违法失当" };
export const TIERS = { "2h": "2 小时", "24h": "24 小时", "7d": "7 天", "15d": "15 天" };
export const KINDS = { compound: "小区内", street: "街巷", municipal_road: "城市道路", highway: "公路", expressway: "高速公路", village: "村庄", river: "河湖", construction: "工地", campus: "校园", hospital: "医院", shop: "商户", market: "市场商场", transit: "轨道公交", hub: "火车站机场", park: "公园", scenic: "景区文博", office: "办公园区", farmland: "农田林地", online: "网络" };
