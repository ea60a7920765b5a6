import { randomUUID } from 'node:crypto'
import type { AuditVerdict, RequestKind, TunnelEnd } from '../../core/audit-event.ts'
import type { CredentialRecord } from '../../core/config/credential-file.ts'
import type { Config, Limits } from '../../core/config.ts'
import type { Authority } from '../../core/names/authority.ts'
import { addressHost, formatAuthority } from '../../core/names/authority.ts'
import type { IpAddress } from '../../core/names/ip.ts'
import type { ClientGroup } from '../../core/policy/client-group.ts'
import type { Denial } from '../../core/policy/enforce.ts'
import type { Entry } from '../../core/policy/entry.ts'
import { type Hint, hintFor, plainHint } from '../../core/policy/hints.ts'
import type { EchSetting } from '../../core/policy/judge-opening.ts'
import type { Policy } from '../../core/policy/policy.ts'
import { isFailure, type Reason } from '../../core/policy/reasons.ts'
import type { AddressRefusal } from '../../core/policy/vet.ts'
import { type Answer, buildAnswer } from '../../core/wire/answer.ts'
import { limitOfEnd, limitOfReason } from '../telemetry/limit-hits.ts'
import type { FullAuditEvent, Telemetry } from '../telemetry/telemetry.ts'
import type { ClientConnection } from './client-connection.ts'
import type { Generation } from './generation.ts'

/** A refusal with what only the dialler knows. */
export interface Refusal extends Denial {
  readonly refusal?: AddressRefusal
  /** Not yet a refusal to whoever asks again as it is told to. */
  readonly isChallenge?: true
  /** Of the limits that have the reason in common, the one that was reached. */
  readonly limit?: 'head_fields'
}

/** Bytes and end of what was relayed. */
export interface Relayed {
  readonly bytesUp: number
  readonly bytesDown: number
  readonly endedBy?: TunnelEnd
}

/**
 * One request from its head to its end: what is learnt of it on the way, and the one place where its fate is recorded. It is
 * counted once and has one line in the audit log, whatever happens to it.
 */
export class Exchange {
  /** In small letters already; but as it comes it is a chain of pieces, 450 bytes for as long as a tunnel stands, and from here one text. */
  readonly id: string = randomUUID().toLowerCase()
  readonly generation: Generation
  readonly connection: ClientConnection
  readonly kind: RequestKind
  readonly #telemetry: Telemetry
  readonly #gateway: string
  readonly #started = performance.now()
  parent: string | undefined
  method: string | undefined
  target: Authority | undefined
  /** Server name in the TLS opening, as the client sent it. */
  serverName: string | undefined
  pathAndQuery: string | undefined
  entry: Entry | undefined
  /** Whose policy counts; absent: the one at the top. */
  group: ClientGroup | undefined
  /** Who asked, where a password or a certificate told. */
  user: string | undefined
  proved: CredentialRecord | undefined
  /** What its tunnels and requests are counted under. */
  countedAs: string
  /** Name of the hook that let it through, or refused it. */
  hook: string | undefined
  /** Header fields as they came; kept only where there are hooks to be shown them. */
  hookFields: readonly string[] | undefined
  /** What report mode let pass. */
  wouldDeny: Denial | undefined
  /** `Via` as it came. */
  receivedVia: string | undefined
  /** The parent proxy that it went through; `address` is then that one's. */
  parentProxy: string | undefined
  address: { readonly ip: IpAddress; readonly port: number } | undefined
  /** What there is to say of a request that is served. */
  note: string | undefined
  #hint: Hint | undefined
  #counted = false
  #settled = false
  #onSettled: (() => void) | undefined

  constructor(telemetry: Telemetry, gateway: string, generation: Generation, connection: ClientConnection, kind: RequestKind) {
    this.#telemetry = telemetry
    this.#gateway = gateway
    this.generation = generation
    this.connection = connection
    this.kind = kind
    this.countedAs = connection.client.text
  }

  /** That of the client's group. */
  get policy(): Policy {
    return this.group?.policy ?? this.generation.policy
  }

  /** Those of the client's group. */
  get limits(): Limits {
    return this.group?.limits ?? this.generation.config.limits
  }

  /** That of the client's group. */
  get ech(): EchSetting {
    return this.group?.ech ?? this.generation.config.inspection.ech
  }

  get settled(): boolean {
    return this.#settled
  }

  /** Calls back once its line is written. */
  onSettled(callback: () => void): void {
    this.#onSettled = callback
  }

  /** On the clock of `performance.now()`. */
  get startedAt(): number {
    return this.#started
  }

  get elapsedMs(): number {
    return performance.now() - this.#started
  }

  /** Records a refusal or failure and builds its answer. */
  refuse(refusal: Refusal): Answer {
    const { policy } = this
    const { config } = this.generation
    const { reason, detail } = refusal
    const hint = this.target === undefined ? plainHint(refusal) : hintFor(policy, this.target, refusal, refusal.refusal)
    if (!this.#settled) {
      this.entry = refusal.entry ?? this.entry
      this.hook = refusal.hook ?? this.hook
      this.#hint = hint
      const verdict = isFailure(reason) ? 'error' : 'deny'
      this.#count(verdict, refusal, refusal.isChallenge)
      const limit = refusal.limit ?? limitOfReason(reason)
      if (limit !== undefined) this.#telemetry.hit(limit)
      this.#write(verdict, reason, detail, {})
    }
    return buildAnswer({ reason, requestId: this.id, target: this.target, hint, detail }, config.answers.hints)
  }

  /** Counts a request that is being served; its line follows at its end. */
  allowed(): void {
    const { wouldDeny } = this
    if (wouldDeny !== undefined && this.target !== undefined) this.#hint = hintFor(this.policy, this.target, wouldDeny)
    this.#count(wouldDeny === undefined ? 'allow' : 'would_deny', wouldDeny)
  }

  /** Records the end of a request that was served. */
  served(relayed: Relayed): void {
    if (this.#settled) return
    if (!this.#counted) this.allowed()
    const limit = relayed.endedBy && limitOfEnd(relayed.endedBy)
    if (limit !== undefined) this.#telemetry.hit(limit)
    this.#telemetry.countBytes(this.entry?.id, relayed.bytesUp, relayed.bytesDown)
    const { wouldDeny } = this
    this.#write(wouldDeny === undefined ? 'allow' : 'would_deny', wouldDeny?.reason, this.note, relayed)
  }

  /** Records a tunnel that was allowed and whose client did not finish its handshake with us. */
  handshakeFailed(cause: string): void {
    if (this.#settled) return
    if (cause === 'client_timeout') this.#telemetry.hit('opening_seconds')
    this.#hint = cause === 'client_distrusts_ca' ? DISTRUST_HINT : undefined
    this.#write('error', undefined, `the client's TLS handshake failed: ${cause}`, {
      bytesUp: 0,
      bytesDown: 0,
      endedBy: 'client',
    })
  }

  #count(event: AuditVerdict, denial: Denial | undefined, isChallenge = false): void {
    if (this.#counted) return
    this.#counted = true
    const quiet = isChallenge || (denial?.reason === 'denied_by_rule' && denial.entry?.quiet === true)
    const { kind, connection, target, entry, group } = this
    this.#telemetry.count(
      {
        listener: connection.listener,
        kind,
        event,
        client: connection.client.text,
        host: target?.host.text,
        entry: entry?.id,
        feature: entry?.feature,
        reason: denial?.reason,
        group: group?.name,
      },
      this.#hint,
      quiet,
    )
  }

  #write(event: AuditVerdict, reason: Reason | undefined, detail: string | undefined, relayed: Partial<Relayed>): void {
    this.#settled = true
    const { policy, config } = this.generation
    const { parent, kind, connection, method, target, entry, address, serverName, group, user, hook, parentProxy } = this
    const { original } = connection
    // What is undefined is left out of the line.
    const line: FullAuditEvent = {
      time: new Date().toISOString(),
      id: this.id,
      parent,
      event,
      kind,
      listener: connection.listener,
      client: connection.client.text,
      group: group?.name,
      user,
      host: target?.host.text,
      port: target?.port,
      entry: entry?.id,
      feature: entry?.feature,
      clientPort: connection.clientPort,
      method,
      path: this.#path(config.audit),
      sni: serverName,
      hook,
      reason,
      hint: this.#hint?.text,
      detail,
      address: address && formatAuthority({ host: addressHost(address.ip), port: address.port }),
      parentProxy,
      original: original && formatAuthority({ host: addressHost(original.address), port: original.port }),
      bytesUp: relayed.bytesUp,
      bytesDown: relayed.bytesDown,
      endedBy: relayed.endedBy,
      durationMs: Math.round(this.elapsedMs * 10) / 10,
      gateway: this.#gateway,
      policyHash: policy.hash,
    }
    this.#telemetry.audit(line)
    this.#onSettled?.()
  }

  #path({ paths, query }: Config['audit']): string | undefined {
    if (this.pathAndQuery === undefined || paths === 'drop') return undefined
    const end = query === 'keep' ? -1 : this.pathAndQuery.indexOf('?')
    return end < 0 ? this.pathAndQuery : this.pathAndQuery.slice(0, end)
  }
}

const DISTRUST_HINT: Hint = {
  text: 'the client left when it saw the certificate, as one does that does not trust the CA of the inspection; `sallyport ca show` tells how each tool comes to',
  remedy: { kind: 'inspection', name: 'client_trust' },
}
