// Calls to the service: JSON in and out, the session's token, retries while the service restarts.

const meta = (name) => document.querySelector(`meta[name="${name}"]`);

export class ApiError extends Error {
  constructor(status, detail, kind) {
    super(detail);
    this.status = status;
    this.kind = kind;
  }
}

let askLogin = null;
export const onExpired = (ask) => { askLogin = ask; };
export const setToken = (token) => { meta("csrf").content = token; };
export const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
const sleep = (ms, signal) => new Promise((done, fail) => {
  const timer = setTimeout(done, ms);
  signal?.addEventListener("abort", () => { clearTimeout(timer); fail(signal.reason); });
});

async function once(method, path, { body, key, signal } = {}) {
  const headers = { Accept: "application/json", "X-CSRF-Token": meta("csrf").content };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  const response = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  const value = await response.json().catch(() => ({}));
  if (response.ok) return value;
  const fault = new ApiError(response.status, value.detail || `服务答复 ${response.status}`, (value.type || "").split(":").pop());
  fault.wait = Number(response.headers.get("Retry-After") || 0);
  throw fault;
}

// Calls again while the service is away, with the same key, so that nothing is recorded twice.
export async function call(method, path, options = {}) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await once(method, path, options);
    } catch (fault) {
      if (fault.name === "AbortError") throw fault;
      if (fault.status === 401 && askLogin) { await askLogin(); continue; }
      const passing = !(fault instanceof ApiError) || fault.status === 503 || fault.status === 429;
      if (!passing || tries >= (options.tries ?? 40)) throw fault;
      options.onWait?.();
      await sleep(Math.max(1000 * (fault.wait || 0), Math.min(300 * 2 ** tries, 3000)), options.signal);
    }
  }
}

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}
export const percent = (p) => `${Math.round(100 * p)}%`;
