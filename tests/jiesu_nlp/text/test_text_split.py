"""Several demands by example; all sentences are made up."""

import pytest

from jiesu_nlp.text.split import split_demands


def parts(text):
    return [text[start:end] for start, end in split_demands(text)]


@pytest.mark.parametrize(
    ("text", "heads"),
    [
        (
            "我们小区反映以下问题：1、三号楼电梯天天坏，没人修；2、东门路灯半年不亮，晚上看不见；"
            "3、垃圾桶一周没有清运，味道很大。",
            ["我们小区", "2、东门", "3、垃圾"],
        ),
        (
            "有两个诉求。一是地库违停堵住出口，二是暖气一直不热，家里只有十五度。",
            ["有两个", "二是暖气"],
        ),
        (
            "楼下饭店油烟直排，窗户打不开。另外，小区门口的路灯坏了两个月没人修。",
            ["楼下饭店", "另外，小区"],
        ),
        (
            "幼儿园学费涨得太突然。还有一个问题，门前那条路坑洼不平，孩子老摔跤。",
            ["幼儿园", "还有一个"],
        ),
        (
            "广场舞音响太大，老人没法休息，同时还要投诉物业乱收停车费，从来不给发票。",
            ["广场舞", "同时还要"],
        ),
        (
            "家里停水三天了。再一个问题，楼道里堆满杂物挡住消防通道，请来看看。",
            ["家里停水", "再一个"],
        ),
    ],
)
def test_several(text, heads):
    found = parts(text)
    assert len(found) == len(heads)
    assert all(part.startswith(head) for part, head in zip(found, heads, strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "三号楼电梯坏了，请尽快维修。",
        # rows of numbers are no list
        "3、4、5、6、7号楼晚上停电停水",
        "1、2、3号楼的电梯都坏了",
        "公交1.5元涨到2.5元，地铁也涨",
        # reasons, rules and steps for one matter
        "不应该收停车费，理由如下：1、当初承诺免费停车；2、物业费里已含保洁；3、电梯广告有收益。",
        "根据规定：一、噪声不得超标；二、施工须有许可；三、扬尘须覆盖。工地全没做到。",
        "申请公租房需要什么材料：1、户口本要原件吗；2、社保要交几年；3、工资流水要多久的？",
        # the same topic goes on
        "烧烤店油烟很大。另外，排烟口正对着我家窗户，油烟天天往里灌。",
        "电梯一个月坏了五次。此外，物业说电梯配件没有到货。",
        # another thing, but not another demand
        "物业让我们找另外一家公司修电梯。",
        "教室里同时还有四十个孩子上课，噪音很大",
        "房子质量差：1、外墙漏水开裂；2、电梯经常停运；3、楼道灯不亮。",
    ],
)
def test_one(text):
    assert split_demands(text) == ((0, len(text)),)
