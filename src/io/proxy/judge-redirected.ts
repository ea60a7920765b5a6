import type { Hostname } from '../../core/names/hostname.ts'
import { type Denial, letsThrough } from '../../core/policy/enforce.ts'
import { nameOfHello, type OriginalDestination } from '../../core/policy/transparent-target.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { ClientHello } from '../../core/wire/client-hello.ts'
import type { Exchange, Refusal } from './exchange.ts'
import { type Allowed, ruleTransparent } from './judge.ts'
import { JudgedOpening } from './opening.ts'

/** What is allowed of a redirected connection by its ClientHello. */
export interface AllowedHello {
  readonly ruling: Allowed
  /** Something is wrong with the hello all the same, for the mode to say what becomes of it. */
  readonly denial: Denial | undefined
}

/**
 * Judges a redirected connection by the name in its ClientHello, or where it has none that counts by the address it was going to. A
 * promise only where a hook has to be asked.
 */
export function judgeRedirectedHello(
  exchange: Exchange,
  hello: ClientHello,
  original: OriginalDestination,
): Result<AllowedHello, Refusal> | Promise<Result<AllowedHello, Refusal>> {
  const { policy, ech } = exchange
  const named = nameOfHello(hello, ech)
  const denial = named.kind === 'refused' ? named.denial : undefined
  if (denial !== undefined && !letsThrough(denial.reason, policy.mode)) return err(denial)
  const name = named.kind === 'named' ? named.name : undefined
  const judged = (ruling: Result<Allowed, Refusal>): Result<AllowedHello, Refusal> => {
    if (named.kind === 'named' && name === undefined) noteUnnamed(exchange)
    if (!ruling.ok) return err(name === undefined ? unnamed(ruling.error) : ruling.error)
    const { protocol, inspect } = ruling.value
    if (protocol === 'http') return err(NOT_HTTP)
    return ok({ ruling: ruling.value, denial: denial ?? (inspect ? uninspectable(exchange, name) : undefined) })
  }
  const ruling = ruleTransparent(exchange, name, original)
  return ruling instanceof Promise ? ruling.then(judged) : judged(ruling)
}

/** The hello as an opening; absent where nothing inside is judged. */
export function openingOf({ ruling, denial }: AllowedHello, hello: ClientHello): JudgedOpening | undefined {
  return ruling.protocol === 'any' ? undefined : new JudgedOpening({ kind: 'hello', hello, ...(denial && { denial }) })
}

export const NOT_HTTP: Refusal = { reason: 'malformed_request', detail: 'only plain HTTP is carried there' }

const UNNAMED = 'the ClientHello names no server, and no entry allows the address'

/** What no entry allows is refused for the name that is missing: with it, one might. */
function unnamed(refusal: Refusal): Refusal {
  return refusal.reason === 'host_not_listed' ? { reason: 'sni_missing', detail: UNNAMED } : refusal
}

function noteUnnamed(exchange: Exchange): void {
  if (exchange.wouldDeny?.reason === 'host_not_listed') exchange.wouldDeny = { reason: 'sni_missing', detail: UNNAMED }
}

/** The certificate would be for the address and the requests for the name. */
function uninspectable({ target, entry }: Exchange, name: Hostname | undefined): Denial | undefined {
  if (target?.host.kind !== 'address' || name === undefined) return undefined
  const detail = `the entry is for the address, and the client names ${name}`
  return { reason: 'inspection_unavailable', detail, ...(entry && { entry }) }
}
