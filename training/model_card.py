"""The model card of a trained bundle, in Chinese Markdown, made of its record and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.evaluate import NAMES
from training.report import figure


def model_card(
    name: str, record: Mapping[str, Any], overall: Mapping[str, Mapping[str, Any]] | None
) -> str:
    """Write the card.

    Parameters
    ----------
    record
        The run record, see :func:`training.train.train`.
    overall
        Figures on the held-out tickets; ``None`` if none were held out.
    """
    split = record["split"]
    lines = [
        *_head(name),
        f"* 目录：{record['versions']['catalogue']}，{record['leaves']} 个细项，"
        f"其中 {record['leaves_with_tickets']} 个有训练工单；其余细项只靠目录里的名称、定义与例句。",
        "* 限度：学的是历史派单，历史上的错派与偏差也会学到；目录、单位或规则改动后应重新训练并评测。",
        "* 训练用的是没有脱敏的诉求内容：反复出现的姓名等字样也可能成为特征。模型包不存工单原文，"
        f"只存{_kept(record)}、训练原文的散列。散列防不住逐字穷举，模型包请当作内部资料保管。",
        "",
        "## 数据",
        "",
        f"* 文件：{'、'.join(f['file'] for f in record['data'])}",
        f"* 数据指纹（SHA-256）：`{record['data_hash']}`",
        f"* 共 {record['rows']} 行，可用 {record['usable']} 件"
        + (
            "，不能用的："
            + "、".join(f"{reason} {n} 行" for reason, n in record["rejected"].items())
            if record["rejected"]
            else ""
        ),
        f"* 划分：训练 {split['train']}、校准 {split['calibrate']}、评测 {split['test']} 件；"
        + (
            f"按时间（校准自 {split['calibrate_from'] or '—'}，评测自 {split['test_from'] or '—'}）"
            if split["by_time"]
            else "有时间的工单不到一半，随机划分"
        )
        + f"；近似重复的工单不跨部分（{split['repeated']} 件有重复）",
    ]
    if record["retired"]:
        lines.append(f"* 退役编码已换算：{sum(record['retired'].values())} 件")
    lines += [
        "",
        "## 训练",
        "",
        _method(record),
        f"* 选项：{'，'.join(f'{k}={v}' for k, v in record['options'].items() if v != {})}",
        *_run(record),
        "",
        "## 在留出工单上的表现",
        "",
    ]
    if overall is None:
        lines.append("没有留出工单，没有可报告的数字。")
    else:
        lines += ["| 指标 | 值 | 95% 区间 | 件数 |", "|---|---|---|---|"]
        lines += [
            f"| {NAMES[key]} | {figure(key, m['value'])} "
            f"| {figure(key, m['low'])} – {figure(key, m['high'])} | {m['n']} |"
            for key, m in overall.items()
        ]
        lines += [
            "",
            "留出工单的标签也可能有错，所以真实的正确率可能比表中高；"
            "逐类、分组的数字见 `evaluation.json`，重新评测用 `jiesu evaluate`。",
        ]
    return "\n".join(lines) + "\n"


def cold_start_card(name: str, record: Mapping[str, Any]) -> str:
    """Write the card of a bundle made of the catalogue alone; see :mod:`training.cold_start`."""
    lines = [
        *_head(name),
        f"* 目录：{record['versions']['catalogue']}，{record['leaves']} 个细项；"
        "只用目录里的名称、定义与例句训练，没有用任何工单（冷启动）。",
        "* 限度：没有见过真实工单，有了标注工单就应当用 jiesu train 重新训练。",
        "* 词表只存字对的散列，不存原文。",
        "",
        "## 数据",
        "",
        f"* {record['texts']} 条目录文字；数据指纹（SHA-256）：`{record['data_hash']}`",
        "",
        "## 训练",
        "",
        _method(record),
        *_run(record),
        "",
        "## 表现",
        "",
        "评测用 jiesu evaluate；考题在 `tests/gold`，其上的数字见 `docs/experiments.md`。",
    ]
    return "\n".join(lines) + "\n"


def _head(name: str) -> list[str]:
    return [
        f"# 模型卡：{name}",
        "",
        "由训练过程自动生成，请勿手改。",
        "",
        "## 用途与限度",
        "",
        "* 用途：为 12345 诉求给出类目、承办单位、时限与把握，供派单员参考；不替人作决定，不据此丢弃诉求。",
    ]


def _kept(record: Mapping[str, Any]) -> str:
    """Tell what of the tickets' words the classifier holds."""
    return "网络权重" if record.get("encoder") else "字与字对的散列及其权重"


def _run(record: Mapping[str, Any]) -> list[str]:
    return [
        f"* 校准：{record['calibrated_on']}",
        f"* 参数：{'，'.join(f'{k}={v}' for k, v in record['recipe'].items())}",
        f"* 代码版本：{record['versions']['code']}；随机种子 {record['recipe']['seed']}",
        f"* 用时 {record['seconds']} 秒，内存峰值 {record['peak_memory_mb']} MB"
        f"（Python {record['machine']['python']}，numpy {record['machine']['numpy']}）",
    ]


def _method(record: Mapping[str, Any]) -> str:
    encoder = record.get("encoder")
    if encoder is None:
        return (
            f"* 方法：线性（字与字对，低秩加质心）；词表 {record['vocabulary']} 个字与字对；"
            f"温度 {record['temperature']}"
        )
    return (
        f"* 方法：预训练编码器（{encoder['checkpoint']['model_type']}，"
        f"检查点指纹 `{encoder['checkpoint']['sha256'][:12]}`）；第 {encoder['best_epoch']} 轮最好，"
        f"{encoder['steps']} 步，{encoder['device']} {encoder['precision']}，"
        f"以 {encoder['serves']} 服务；温度 {record['temperature']}"
    )
