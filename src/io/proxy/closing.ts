import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { type Answer, formatClosingAnswer } from '../../core/wire/answer.ts'
import { endAndLinger } from '../relay/linger.ts'

/**
 * Writes an answer and ends the connection, as `endAndLinger` does.
 *
 * @param body the request whose body the HTTP parser is still reading, if there is one
 */
export function answerAndClose(socket: Socket, answer: Answer, body?: IncomingMessage): void {
  endAndLinger(socket, formatClosingAnswer(answer), body)
}
