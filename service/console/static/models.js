// Switch, go back, shadow: each asks once and then shows the page anew.
import { call } from "./api.js";

const notice = document.getElementById("notice");
async function act(words, method, path, body) {
  if (!confirm(`${words}？`)) return;
  notice.className = "wait";
  notice.textContent = `${words}：正在校验并载入……`;
  document.querySelectorAll("button").forEach((b) => { b.disabled = true; });
  try {
    await call(method, path, { body, tries: 0 });
    location.reload();
  } catch (fault) {
    notice.className = "bad";
    notice.textContent = fault.message;
    document.querySelectorAll("button").forEach((b) => { b.disabled = false; });
  }
}
document.querySelectorAll("[data-activate]").forEach((b) => b.addEventListener("click", () => act(`启用“${b.dataset.activate}”`, "POST", "/v1/models/activate", { name: b.dataset.activate })));
document.querySelectorAll("[data-shadow]").forEach((b) => b.addEventListener("click", () => act(`把“${b.dataset.shadow}”作为影子模型`, "PUT", "/v1/models/shadow", { name: b.dataset.shadow })));
document.getElementById("rollback").addEventListener("click", () => act("退回上一个模型", "POST", "/v1/models/rollback"));
document.getElementById("shadow-off").addEventListener("click", () => act("停用影子模型", "PUT", "/v1/models/shadow", { name: null }));
