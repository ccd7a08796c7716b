// Exchange the secret in a link's fragment, which no server and no log sees, for a session, or for the sight of a run.
import { marked } from './page.js'

const door = location.pathname
const told = document.querySelector('[data-told]')

/** Enter by the secret in the address, if there is one. */
async function enter() {
  const secret = location.hash.slice(1)
  if (!secret) return
  history.replaceState(null, '', door)
  told.textContent = 'Entering …'
  try {
    const answer = await fetch(door, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ secret }),
    })
    if (answer.ok) location.replace(answer.status === 204 ? '/runs' : (await answer.json()).to)
    else told.replaceChildren(...marked((await answer.json()).detail))
  } catch {
    told.textContent = 'The page does not answer. Open the link again when it does: it was not used.'
  }
}

addEventListener('hashchange', enter) // a link that is opened where this page is shown already
enter()
