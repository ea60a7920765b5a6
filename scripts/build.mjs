// Compiles src/ to dist/. With --if-needed it does nothing while no source is newer than the last build.
import { spawnSync } from 'node:child_process'
import { readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const stamp = join(root, 'dist', '.built')
const inputs = ['src', 'scripts/build.mjs', 'package.json', 'tsconfig.json', 'tsconfig.build.json']

function newest(path) {
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  // The folder's own time counts too: it changes when a file is removed.
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))))
}

function builtAt() {
  return statSync(stamp, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

/**
 * `sallyport/core` for browsers, in one file. All of it runs there as it is but for two modules of Node that `micromatch` loads and does
 * next to nothing with: it quotes a value in an error, and looks which way slashes go.
 */
async function bundleCore() {
  const { build, stop } = await import('esbuild')
  const standIns = {
    util: 'export const inspect = String',
    path: "export const sep = '/'; export const basename = (p) => p.split('/').pop()",
  }
  await build({
    entryPoints: [join(root, 'dist', 'core', 'index.js')],
    outfile: join(root, 'dist', 'core-browser.js'),
    bundle: true,
    platform: 'browser',
    format: 'esm',
    target: 'es2022',
    logLevel: 'error',
    define: { 'process.platform': '"browser"', 'process.version': '"v20.0.0"', process: 'undefined' },
    plugins: [
      {
        name: 'stand-ins',
        setup({ onResolve, onLoad }) {
          onResolve({ filter: /^(util|path)$/ }, ({ path }) => ({ path, namespace: 'stand-in' }))
          onLoad({ filter: /.*/, namespace: 'stand-in' }, ({ path }) => ({ contents: standIns[path], loader: 'js' }))
        },
      },
    ],
  })
  await stop()
}

const needed = !process.argv.includes('--if-needed') || builtAt() < Math.max(...inputs.map((name) => newest(join(root, name))))
if (needed) {
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
  await bundleCore()
  writeFileSync(stamp, '')
}
