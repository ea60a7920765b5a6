import type { AuditEvent } from '../../core/audit-event.ts'

/** What happens to a line that cannot be written: it is dropped and counted, or no request begins that would need one. */
export type AuditFailurePolicy = 'drop' | 'deny'

/**
 * From this part of the buffer on, no new request is to begin, until so little waits again. The lines of those refusals may fill it a
 * little further; what is left is for whatever was let out before.
 */
const FULL_SHARE = 1 / 2
const ROOM_SHARE = 3 / 8
const REFUSALS_SHARE = 3 / 4

/** Whether there is room for lines, with a distance between yes and no so that it does not flap. */
export class AuditRoom {
  #bufferBytes: number
  #policy: AuditFailurePolicy
  #isFull = false

  constructor(bufferBytes: number, policy: AuditFailurePolicy) {
    this.#bufferBytes = bufferBytes
    this.#policy = policy
  }

  limit(bufferBytes: number, policy: AuditFailurePolicy): void {
    this.#bufferBytes = bufferBytes
    this.#policy = policy
  }

  /** @param waitingBytes that wait to be written now */
  isFull(waitingBytes: number): boolean {
    this.#isFull = waitingBytes > this.#bufferBytes * (this.#isFull ? ROOM_SHARE : FULL_SHARE)
    return this.#isFull
  }

  /** How much may wait, with this line. Where requests are refused for want of room, their lines do not take what is left of it. */
  boundFor({ event }: Pick<AuditEvent, 'event'>): number {
    return this.#policy === 'deny' && event === 'deny' ? this.#bufferBytes * REFUSALS_SHARE : this.#bufferBytes
  }
}
