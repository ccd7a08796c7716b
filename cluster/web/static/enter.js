// Exchange the secret in the link's fragment, which no server and no log sees, for a session.
import { marked } from './page.js'

const told = document.querySelector('[data-told]')

/** Enter by the secret in the address, if there is one. */
async function enter() {
  const secret = location.hash.slice(1)
  if (!secret) return
  history.replaceState(null, '', '/enter')
  told.textContent = 'Entering …'
  try {
    const answer = await fetch('/enter', {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ secret }),
    })
    if (answer.ok) location.replace('/runs')
    else told.replaceChildren(...marked((await answer.json()).detail))
  } catch {
    told.textContent = 'The page does not answer. Open the link again when it does: it was not used.'
  }
}

addEventListener('hashchange', enter) // a link that is opened where this page is shown already
enter()
