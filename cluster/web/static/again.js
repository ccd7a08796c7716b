// Of a page that has nothing to show yet: look again, as long as it is seen.

const AGAIN_MS = 2000

setInterval(() => { if (!document.hidden) location.reload() }, AGAIN_MS)
