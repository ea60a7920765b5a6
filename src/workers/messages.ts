import type { ClientAddresses } from '../core/config/listen.ts'
import type { ListenAddress } from '../core/listen-address.ts'
import type { Share } from '../core/shares/share.ts'
import type { RecordedReads } from '../io/file-reads.ts'
import type { ParentStatus } from '../io/proxy/parents.ts'
import type { TunnelRow } from '../io/proxy/tunnels.ts'
import type { RelayKind } from '../io/relay/relay.ts'
import type { MetricReading } from '../io/telemetry/metrics.ts'
import type { DenialRow } from '../io/telemetry/recent-denials.ts'
import type { WorkerAudit } from './audit-pipe.ts'

/**
 * What the primary and its workers say to each other, over the channel that Node opens between a process and its child (structured
 * clones). Every message is answered at most once and every question has a deadline, so that nothing piles up before a process that
 * stands still. Audit lines go another way: see `audit-pipe.ts`.
 */

/** Settings as the files were read once, for every worker the same. */
export interface GenerationFiles {
  /** Of this load: no two tries have the same. */
  readonly number: number
  /** The config file, as the command line named it. */
  readonly file: string
  readonly reads: RecordedReads
  /** What the policy that comes of them has to be. */
  readonly policyHash: string
}

/** What all workers of a gateway have in common, and no config says. */
export interface GatewayIdentity {
  /** Name in `Via`: a request that comes back is recognised by whichever worker meets it. */
  readonly via: string
  /** Key of the clients' pseudonyms where the config names none. */
  readonly pseudonymKey: string
  /** Listeners that the primary has: nobody is to be led to them. */
  readonly metrics: ListenAddress
  readonly admin: ListenAddress
}

export type ToWorker =
  /** The first message: load these, take so many connections, listen. */
  | {
      readonly kind: 'start'
      readonly worker: number
      readonly generation: GenerationFiles
      readonly identity: GatewayIdentity
      /** Where the listeners for clients are, for as long as the gateway runs. */
      readonly listen: ClientAddresses
      /** How many there are. */
      readonly workers: number
      /** Client connections to begin with. */
      readonly connections: number
      /** Audit lines it may hold back while the primary does not take them. */
      readonly audit: WorkerAudit
      readonly isLogWritable: boolean
    }
  /** Load these and keep them ready. */
  | { readonly kind: 'prepare'; readonly generation: GenerationFiles }
  /** Put in force what was prepared. */
  | { readonly kind: 'commit'; readonly number: number; readonly audit: WorkerAudit }
  /** The audit log can be written no longer, or can again. */
  | { readonly kind: 'audit'; readonly isWritable: boolean }
  /** Forget what was prepared. */
  | { readonly kind: 'abandon'; readonly number: number }
  /** Stop listening, and refuse what still comes on connections there are; end when all is over. */
  | { readonly kind: 'refuse_new' }
  /** End at once. */
  | { readonly kind: 'stop' }
  | { readonly kind: 'ask'; readonly id: number; readonly question: Question }
  /** So much of a limit that was asked for; with none, when to ask again. */
  | { readonly kind: 'given'; readonly share: Share; readonly amount: number; readonly retryMs: number }
  /** Give back what you do not use: somebody else is short of it, or the limit was lowered. */
  | {
      readonly kind: 'recall'
      readonly share: Share /** Of connections, so many may stay; otherwise half. */
      readonly keep?: number
    }

export type Question =
  | { readonly what: 'metrics' }
  | { readonly what: 'denials' }
  | { readonly what: 'tunnels' }
  | { readonly what: 'end_tunnel'; readonly tunnel: string }

export interface Answers {
  readonly metrics: { readonly metrics: readonly MetricReading[]; readonly load: WorkerLoad }
  readonly denials: readonly DenialRow[]
  readonly tunnels: TunnelList
  /** Whether it was this worker's. */
  readonly end_tunnel: boolean
}

export interface TunnelList {
  readonly open: number
  readonly tunnels: readonly TunnelRow[]
}

/** What a worker is doing now. */
export interface WorkerLoad {
  readonly tunnels: number
  readonly connections: number
  readonly auditBytesWaiting: number
  readonly parents: readonly ParentStatus[]
}

export type FromWorker =
  /** It listens to the primary. What is sent before that Node's cluster module takes for itself and drops. */
  | { readonly kind: 'hello' }
  | { readonly kind: 'serving'; readonly bound: ClientAddresses; readonly relay: RelayKind }
  | { readonly kind: 'start_failed'; readonly message: string }
  | { readonly kind: 'prepared'; readonly number: number }
  | { readonly kind: 'unprepared'; readonly number: number; readonly problem: string }
  | { readonly kind: 'committed'; readonly number: number }
  /** No new work is taken; so much is still under way. */
  | { readonly kind: 'refusing'; readonly tunnels: number; readonly requests: number }
  /** Everything is over and written; the process ends after this. */
  | { readonly kind: 'ended'; readonly metrics: readonly MetricReading[] }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: Answers[Question['what']] }
  /** A limit is used up here: give me more of it. */
  | { readonly kind: 'want'; readonly share: Share }
  | {
      readonly kind: 'give_back'
      readonly shares: readonly (readonly [Share, number])[]
      /** Whether this answers a `recall`. */
      readonly recalled: boolean
    }
