"""Word lists of the text layer: small, readable, and safe to edit by hand.

Each list is a string of words separated by blanks, or a string of single characters; the order
does not matter. All of it is simplified Chinese.
"""

from __future__ import annotations

from typing import Final

# --- names --------------------------------------------------------------------------------------

# The commonest family names. Left out: those that far more often begin another word in a ticket
# (和 时 东 新 车 房 商 单 农 公 水 居 路 经 原 老 明 应 从 家 官 …).
SURNAMES: Final = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林郑谢罗梁宋唐许韩冯邓曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕"
    "丁任卢姚钟姜崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴"
    "严莫孔向常汤康易乔赖文施洪辛柯庄温牛樊葛邢安齐庞颜倪聂章鲁岳翟殷詹申耿关焦左柳甘祝包宁符阮纪"
    "舒梅童凌毕裴霍涂成苗谷盛曲翁冉骆蓝游辛靳欧管柴蒙鲍华喻祁蒲房滕屈饶解牟艾尤阳穆卓古吉缪简车项"
    "连芦麦褚娄窦戚岑景党宫费卜冷晏席卫米柏宗瞿桂佟应臧闵苟邬边卞姬师栾隋刁郎池桑蔺虞郁仇阎俞荣"
)
COMPOUND_SURNAMES: Final = frozenset(
    "欧阳 上官 司马 诸葛 司徒 皇甫 尉迟 公孙 慕容 令狐 夏侯 东方 端木 呼延 宇文 长孙 南宫 轩辕".split()
)
# The characters given names are commonly made of. Weak introductions (本人…, …师傅) must be followed
# by these alone, which keeps 安装师傅, 项目经理, 马上找师傅 and 高空作业 from being people.
GIVEN_NAME_CHARACTERS: Final = frozenset(
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华建国玉兰红梅文辉力志永健世广义兴良海山仁波宁贵"
    "福生龙元全胜学祥才发武清飞彬富顺信子岩中茂进林有坚和彪博诚先敬震振壮会思群豪心邦承乐绍功松善厚"
    "庆民友裕河哲江浩亮政谦亨奇固之轮翰朗伯宏言若鸣朋斌梁栋维启克伦翔旭鹏泽晨辰士以家致树炎德泰盛雄"
    "琛钧冠策腾楠榕风航弘惠珠翠雅芝萍春菊凤洁琳素云莲真环雪荣爱妹香月莺媛瑞凡佳嘉琼勤珍贞莉叶璧璐"
    "娅琦晶妍茜秋珊莎锦黛青倩婷姣婉娴瑾颖露瑶怡婵雁蓓纨仪荷丹蓉眉君琴蕊薇菁梦岚苑筠柔竹霭凝晓欢霄"
    "枫芸菲寒欣滢伊亚宜可姬舒影荔枝思昕俊坤鑫淼森焱尧宇轩睿萱涵梓浩然诗雨晗皓昊天宝成长金玲淑彩银喜"
    "少小大新景东南西北立正忠孝仲季恒恩慧娥娇燕鸿鹤骏麟虎豹彦昌达光宗耀祖传培根喆潇潮汉洪津沛淳滨"
    "凯鹰卫星阳晖曦晴昭炜炳焕煜烨熙燃铁钢铭锋锐银镇双三福禄寿禧庚利守安定康宽容百万年丰登玺琪琰璇"
    "桃李杏桐柏桦楚榆槐柳茹莹菡蕾薛兆仙伶俐侠保修倬凌沙冬冰初北卉友召台叔和品哥唯园圆城增声夏奕奎"
    "如妮妤姗姝娣婕嫣季孟宪宾寅展岭峥峰巍川帆帅干常庭廷延开强彤征循必恬悦惟愉慈懿戈战捷敦斐方旋旗"
    "时映普智朝本来权杨果柱栓标根格桥梅楼槿欧止毅水沁泉洲润渊湘溪滔漪灵灿煊牧犇玄玖环珂理瑜瑛璞甜"
    "田申男甲畅登白益盈相瞳石磐科秉程穗立竞笑筱纯纲绪绮维缘群羽羿翊耕聪肖育胤自舜艺艾芬芊芙苗"
    "茵荃莘菀萌葆蓝薪行衡观训许诺谊谋谣谧豫贤赟赫越路轶辛辅迅迎远迪逸道邈郁郎采钰铎锡锦键镜长门闯"
    "阅陆陶隆雷霁霖霜非鞠韬韵音顶项颂领风飚馨驰骁高魁鲁鸽黎齐"
)
# Words that look like a surname with a given name.
NOT_NAMES: Final = frozenset(
    "安全 安心 安定 安宁 高兴 高中 高三 高新 高楼 高山 常年 常会 成立 成功 成年 成本 方向 方便 方可 "
    "万全 金属 金山 文明 文化 程序 程度 时光 华人 江南 江北 江西 江山 河南 河北 海南 石家 石景山 金融 "
    "金海 白天 马路 马上 马家 黄金 黄河 包容 包年 解放 解决 连云 连年 关心 关门 关注 党员 古城 武汉 "
    "应有 应该 施工 项目 管理 向上 向来 白领 童年 温和 严正 易燃 康复 温泉 常有 何时 任何 左右 相关 "
    "于本 于今年 于去年 于明年 于当年 于同年 于昨天 万科 车行 车库 车主 车辆 房东 高校 高级 高龄 "
    "常来 常见 文员 童装 章程 陶然 牛街 祝好 师生 师大 广大 成都 荣誉 华为 顾家 连家 龙泽 龙湖 石门 "
    "苏州 白云 盛世 万达 万年 万元 金地 金茂 金利 华润 安华 安贞 安康 武夷 景山 香山 和平 毛坯 向东 "
    "向南 向西 向北 万里 应季 麦子 古文 丁香 游泳 游客 柏油 桂花 冷水 费用 费力 景观 景区 景色 席梦思 "
    "文科 理科 文科生 理科生 高中生 师范生".split()
)
# What may follow a finished name without a mark, and so cannot be its last character.
AFTER_NAME: Final = frozenset(
    "住家是在于来想要今现系反投身电手户就从到被给对因由向和与及说把去也都还会能我你他她它这那没不男女"
    "经业的曾已将为打跟让请叫等同以先一二两前后之其此该某"
)
PERSON_TITLES: Final = (
    "先生 女士 小姐 阿姨 大爷 大妈 大姐 大哥 大叔 师傅 经理 老师 同志 队长 所长 主任 老板 警官 医生 大夫 "
    "律师 教练 会计 店长"
).split()
# Characters before a name that make it begin there (找王建国师傅).
BEFORE_NAME: Final = frozenset("是叫找给和与跟及由向被请对让的为位名问告诉托有")
