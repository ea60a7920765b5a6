#!/bin/sh
# Makes sallyport-VERSION-linux-ARCH.tar.gz for hosts without Node.js or a compiler: the built gateway, what it depends on, the kernel
# relay and the Node.js that runs this script. Run it in a clone with its dependencies installed (`npm ci`), on the Linux and processor
# that the hosts have. Prints the file's name and its SHA-256.
set -eu
cd "$(dirname "$0")/.."
version=$(node -p 'require("./package.json").version')
arch=$(node -p 'process.arch')
name="sallyport-$version-linux-$arch"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
root="$stage/$name"

node scripts/build.mjs --if-needed >&2
node native/build.mjs --strict >&2
mkdir -p "$root/bin" "$root/node_modules" "$root/native"
cp -R dist config deploy package.json CHANGELOG.md "$root/"
cp -R native/build "$root/native/"
# What `npm ci --omit=dev` would leave, by the lock file, from what is installed already.
node -e '
  const { packages } = require("./package-lock.json")
  for (const [folder, { dev, devOptional }] of Object.entries(packages))
    if (folder !== "" && !dev && !devOptional && require("node:fs").existsSync(folder)) console.log(folder)
' | sort | while read -r folder; do
  mkdir -p "$(dirname "$root/$folder")"
  [ -e "$root/$folder" ] || cp -RL "$folder" "$root/$folder"
done
cp "$(node -p 'process.execPath')" "$root/bin/node"
cat > "$root/bin/sallyport" <<'SCRIPT'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
exec "$here/node" "$here/../dist/main.js" "$@"
SCRIPT
chmod 755 "$root/bin/sallyport"
tar --create --gzip --owner=0 --group=0 --file "$name.tar.gz" --directory "$stage" "$name"
echo "$(pwd)/$name.tar.gz"
sha256sum "$name.tar.gz" | cut -d ' ' -f 1
