// Files on their way from a disk to an upload: those that are dropped, pasted or chosen, and how they are sent.
// Many small ones go in one request, large ones in slices; after a break it goes on by itself.

const BUNDLE_FILES = 200, BUNDLE_BYTES = 8 * 2 ** 20, AGAIN_MS = 2000, RATE_S = 10
const wait = ms => new Promise(resolve => setTimeout(resolve, ms))
const BYTES = { 'Content-Type': 'application/octet-stream' }
const REFUSED = [413, 422]

/** Sends files one after the other. `changed` is called when its figures have; `failed` with what it cannot go on with. */
export class Sender {
  files = 0; bytes = 0; sentFiles = 0; sentBytes = 0; received = 0; expected = 0
  refused = []; unread = []; paused = false; told = ''
  #waiting = []; #known = new Set(); #busy; #rate = []

  constructor(changed, failed) { Object.assign(this, { changed, failed }) }

  get isDone() { return !this.#waiting.length && !this.#busy }

  /** Bytes a second over the last seconds; 0 where that is not known. */
  get rate() {
    const [first] = this.#rate, last = this.#rate.at(-1)
    return this.#rate.length < 2 ? 0 : (last[1] - first[1]) / Math.max(.2, last[0] - first[0])
  }

  /** How many files of an upload that is gone on with have not come yet. */
  get lacking() {
    return Math.max(0, this.expected - this.received - this.refused.length - this.unread.length)
  }

  /** Go on with an upload, begun with so many files: what has arrived of it is not sent again. */
  async resume(upload, expected) {
    Object.assign(this, { upload, expected })
    const answer = await fetch(`/api/uploads/${upload}/files`)
    if (!answer.ok) throw new Error((await answer.json()).detail)
    for (const line of (await answer.text()).split('\n')) if (line) this.#known.add(line)
    this.received = this.#known.size
  }

  /** Send these, too. */
  add(found) {
    for (const one of found) {
      this.files += 1
      this.bytes += one.file.size
      const key = JSON.stringify([one.name, one.file.size, one.file.lastModified])
      if (this.#known.has(key)) this.#count(one)
      else this.#waiting.push(one)
    }
    this.changed()
  }

  /** Send what waits, once the upload is known. */
  async run() {
    if (this.#busy || this.paused) return
    this.#busy = true
    try {
      while (this.#waiting.length && !this.paused) await this.#next()
    } catch (error) {
      this.paused = true
      this.failed(error.message)
    }
    this.#busy = false
    this.#rate = []
    this.changed()
  }

  async #next() {
    if (this.#waiting[0].file.size > BUNDLE_BYTES) return this.#slices(this.#waiting.shift())
    const bundle = []
    for (let bytes = 0; this.#waiting.length && bundle.length < BUNDLE_FILES;) {
      bytes += this.#waiting[0].file.size
      if (bytes > BUNDLE_BYTES && bundle.length) break
      bundle.push(this.#waiting.shift())
    }
    const body = () => new Blob(bundle.flatMap(({ name, file }) =>
      [`${JSON.stringify({ name, size: file.size, modified: file.lastModified })}\n`, file]))
    const answer = await this.#send('POST', 'bundle', body, bundle)
    this.refused.push(...answer.refused)
    this.received = answer.files
    bundle.forEach(one => this.#count(one))
    this.#tick()
  }

  async #slices(one) {
    const { name, file } = one
    const query = new URLSearchParams({ name, size: file.size, modified: file.lastModified })
    let { offset, refused = [] } = await this.#send('GET', `offset?${query}`, () => undefined, [one])
    const before = this.sentBytes
    while (offset < file.size && !this.paused) {
      const slice = file.slice(offset, offset + BUNDLE_BYTES)
      const at = { 'Upload-Offset': offset };
      ({ offset, refused = [] } = await this.#send('PUT', `file?${query}`, () => slice, [one], at))
      if (offset < Infinity) this.sentBytes = before + offset
      this.#tick()
    }
    this.sentBytes = before
    this.refused.push(...refused)
    if (offset < file.size) this.#waiting.unshift(one)
    else if (offset < Infinity || refused.length) { this.#count(one); this.received += offset < Infinity ? 1 : 0 }
  }

  /** Ask until it is answered; of files that cannot be read the others are sent. A large one may be refused. */
  async #send(method, path, body, files, headers = {}) {
    for (;;) {
      let answer
      try {
        answer = await fetch(`/api/uploads/${this.upload}/${path}`, { method, body: body(), headers: { ...BYTES, ...headers } })
      } catch {
        await this.#leaveOutUnread(files)
        if (!files.length) return { refused: [], files: this.received, offset: Infinity }
        this.told = 'Not connected: sending goes on by itself.'
      }
      if (answer?.ok) { this.told = ''; return answer.json() }
      if (answer && ![408, 503].includes(answer.status)) {
        const { detail } = await answer.json().catch(() => ({}))
        const why = detail ?? `it answered ${answer.status}`
        if (method !== 'POST' && REFUSED.includes(answer.status)) return { refused: [{ name: files[0].name, why }], offset: Infinity }
        this.#waiting.unshift(...files)
        throw new Error(why)
      }
      this.changed()
      await wait(AGAIN_MS)
    }
  }

  async #leaveOutUnread(files) {
    for (const one of [...files]) {
      try { await one.file.slice(0, 1).arrayBuffer() } catch {
        files.splice(files.indexOf(one), 1)
        this.files -= 1
        this.bytes -= one.file.size
        this.unread.push(one.name)
      }
    }
  }

  #count(one) {
    this.sentFiles += 1
    this.sentBytes += one.file.size
  }

  #tick() {
    const now = performance.now() / 1000
    this.#rate.push([now, this.sentBytes])
    while (this.#rate.length > 2 && this.#rate[0][0] < now - RATE_S) this.#rate.shift()
    this.changed()
  }
}

/** The files of what was dropped, as {name, file}, under the names that `cluster submit` gives them; a folder that comes
 * alone gives its files below its own name. `seen` is told how many it has come to so far, `unread` the names of those
 * that the browser may not read. */
export async function dropped(items, unread, seen = () => {}) {
  const entries = [...items].map(item => item.webkitGetAsEntry?.()).filter(Boolean)
  const found = []
  const walk = async (entry, below) => {
    if (entry.name.startsWith('.')) return
    try {
      if (entry.isFile) return { name: below + entry.name, file: await new Promise((ok, no) => entry.file(ok, no)) }
      const reader = entry.createReader()
      const inside = []
      for (let some; (some = await new Promise((ok, no) => reader.readEntries(ok, no))).length;) inside.push(...some)
      await gather(inside.sort((a, b) => a.name < b.name ? -1 : 1), `${below}${entry.name}/`)
    } catch { unread(below + entry.name) }
  }
  // The files of a folder are asked for at once: one after another takes a browser many times as long.
  const gather = async (inside, below) => {
    const files = await Promise.all(inside.map(entry => entry.isFile && walk(entry, below)))
    for (const [at, entry] of inside.entries()) {
      if (files[at]) found.push(files[at])
      else if (!entry.isFile) await walk(entry, below)
    }
    seen(found.length)
  }
  await gather(entries, '')
  return entries.length === 1 && entries[0].isDirectory ? withoutTop(found) : found
}

/** The files that were chosen, as {name, file}; of a folder without its own name. */
export function chosen(files) {
  const found = [...files].map(file => ({ name: file.webkitRelativePath || file.name, file }))
  const plain = found.filter(one => !one.name.split('/').some(part => part.startsWith('.')))
  return plain.some(one => one.name.includes('/')) ? withoutTop(plain) : plain
}

const withoutTop = found => found.map(one => ({ ...one, name: one.name.slice(one.name.indexOf('/') + 1) }))
