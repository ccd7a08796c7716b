// Files and folders that are dropped, pasted or chosen, under the names that `cluster submit` gives them.

/** The files of what was dropped, as {name, file}; a folder that comes alone gives its files below its own name.
 * `seen` is told how many it has come to so far, `unread` the names of those that the browser may not read. */
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

/** "2.6 GB" */
export function size(bytes) {
  for (const unit of ['bytes', 'kB', 'MB', 'GB']) {
    if (bytes < 1000) return `${unit === 'bytes' || bytes >= 100 ? bytes.toFixed(0) : bytes.toFixed(1)} ${unit}`
    bytes /= 1000
  }
  return `${bytes.toFixed(1)} TB`
}
