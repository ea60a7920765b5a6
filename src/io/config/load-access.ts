import { type Credentials, parseCredentials } from '../../core/config/credential-file.ts'
import type { Config } from '../../core/config.ts'
import { ANY_USER } from '../../core/policy/client-group.ts'
import { type Problem, problem, warning } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { ClientAccess } from '../credentials/client-access.ts'
import type { FileReads } from '../file-reads.ts'
import { loadListenerTls } from '../tls/listener-tls.ts'
import { readText } from './read-file.ts'

export interface LoadedAccess {
  readonly access: ClientAccess
  readonly warnings: readonly Problem[]
}

/** Reads what clients are told apart by: the file of credentials, and the TLS of the proxy listener. */
export async function loadClientAccess(config: Config, reads: FileReads): Promise<Result<LoadedAccess, readonly Problem[]>> {
  const { tls: settings } = config.listen.proxy
  const [credentials, tls] = await Promise.all([
    config.credentials.file === undefined ? ok(undefined) : readCredentials(config.credentials.file, reads),
    settings === undefined ? ok(undefined) : loadListenerTls(settings, new Date(), reads),
  ])
  if (!credentials.ok || !tls.ok) return err([...(credentials.ok ? [] : credentials.error), ...(tls.ok ? [] : tls.error)])
  return ok({
    access: { credentials: credentials.value, tls: tls.value?.tls },
    warnings: [...(tls.value?.warnings ?? []), ...warnAboutUsers(config, credentials.value)],
  })
}

async function readCredentials(file: string, reads: FileReads): Promise<Result<Credentials, readonly Problem[]>> {
  const path = ['credentials', 'file']
  const read = await reads(file, () => readText(file))
  if (!read.ok) return err([problem(path, `\`${file}\`: ${read.error.message}`)])
  const parsed = parseCredentials(read.value.text)
  if (parsed.ok) return parsed
  return err(parsed.error.map(({ line, message }) => problem(path, `\`${file}\`, line ${line}: ${message}`)))
}

function warnAboutUsers({ groups, credentials: { required } }: Config, credentials: Credentials | undefined): Problem[] {
  if (credentials === undefined) return []
  const unknown = Object.entries(groups).flatMap(([name, { users = [] }]) =>
    users.flatMap((user, index) =>
      user === ANY_USER || credentials.has(user)
        ? []
        : [
            warning(
              ['groups', name, 'users', index],
              `\`${user}\` is not in the file of credentials; \`sallyport credentials add ${user}\``,
            ),
          ],
    ),
  )
  if (credentials.size > 0) return unknown
  const who = required ? 'so clients that are in no group by address or certificate are all refused' : 'so no password is right'
  return [...unknown, warning(['credentials', 'file'], `there is no user in it, ${who}; \`sallyport credentials add\` adds one`)]
}
