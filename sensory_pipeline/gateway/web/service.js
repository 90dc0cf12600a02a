// Calls of the service, with the key if it requires one.

const KEY = "sensory-key";
const POLL_MS = [500, 5000]; // first and longest interval

/** An error. `title` says what failed, `message` what to do next. */
export class Problem extends Error {
  constructor(title, detail) {
    super(detail);
    this.title = title;
  }
}

export const useKey = key => sessionStorage.setItem(KEY, key);
const headers = () => (sessionStorage.getItem(KEY) ? {Authorization: `Bearer ${sessionStorage.getItem(KEY)}`} : {});

/** Whether the service accepts the key of this tab, or needs none. Throws Problem. */
export async function isOpen() {
  return (await fetched("v1/jobs?limit=1")).status !== 401;
}

/** Get a background job. Throws Problem. */
export const jobOf = (id, signal) => asked(`v1/jobs/${encodeURIComponent(id)}`, {signal});

/** Cancel a job. Throws Problem. */
export const cancelled = id => asked(`v1/jobs/${encodeURIComponent(id)}`, {method: "DELETE"});

/** A socket for live speech. Browsers cannot send headers with it, so the key is one of its subprotocols. */
export function liveSocket(query) {
  const address = new URL(`v1/ws?${query}`, document.baseURI);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  const key = sessionStorage.getItem(KEY);
  return new WebSocket(address, key ? ["sensory", `sensory-key.${key}`] : []);
}

/** Call POST /v1/process. `sent` is called with the part that is sent, 0 to 1. Throws Problem. */
export function processed(file, request, signal, sent) {
  signal.throwIfAborted();
  const form = new FormData();
  form.append("request_json", JSON.stringify(request));
  form.append("audio", file);
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest(); // fetch does not report upload progress
    call.open("POST", "v1/process");
    for (const [name, value] of Object.entries(headers())) call.setRequestHeader(name, value);
    call.upload.onprogress = event => sent(event.loaded / event.total);
    call.upload.onload = () => sent(1);
    call.onload = () => {
      if (call.status < 300) resolve(JSON.parse(call.responseText));
      else reject(problemOf(call.status, call.responseText));
    };
    call.onerror = () => reject(unreachable("It may also have refused a file that is too large."));
    call.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => call.abort());
    call.send(form);
  });
}

/** Wait for the result of a background job. `told` is called with its state. Throws Problem. */
export async function finished(id, signal, told) {
  for (let wait = POLL_MS[0]; ; wait = Math.min(wait * 1.5, POLL_MS[1])) {
    const job = await jobOf(id, signal).catch(error => {
      if (!error.passing) throw error;
      return {status: "unreachable"}; // the job survives a restart of the service
    });
    if (job.status === "completed") return job.result;
    if (job.status === "failed") throw new Problem("The recording could not be processed", job.error);
    told(job.status);
    await pause(wait, signal);
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

async function asked(address, options) {
  const answer = await fetched(address, options);
  const text = await answer.text();
  if (!answer.ok) throw problemOf(answer.status, text);
  return text ? JSON.parse(text) : null;
}

async function fetched(address, options = {}) {
  try {
    return await fetch(address, {...options, headers: headers()});
  } catch (error) {
    throw error.name === "AbortError" ? error : unreachable();
  }
}

function problemOf(status, text) {
  try {
    const {title, detail} = JSON.parse(text); // RFC 9457
    return new Problem(title, detail);
  } catch {
    return new Problem(`The service answered ${status}`, "Try again in a minute.");
  }
}

function unreachable(more = "") {
  const problem = new Problem("The service cannot be reached", `Check that it runs, then try again. ${more}`.trim());
  problem.passing = true;
  return problem;
}
