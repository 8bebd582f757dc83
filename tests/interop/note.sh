#!/bin/sh
# Verifies a signed note (an entry, a checkpoint) with OpenSSL 3 alone: note.sh FILE VKEY. No code of Collegium runs here.
#   FILE  the note; VKEY  the signer's key as text: name+id+base64(type, 32 bytes)
set -eu
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
name=${2%%+*}
material=${2#*+*+}  # the base64 may hold a '+' itself
# The text is all before the last empty line, its final newline included.
end=$(grep -n '^$' "$1" | tail -n 1 | cut -d : -f 1)
head -n $((end - 1)) "$1" > "$folder/text"
# The signature line: an em dash, the name, base64 of 4 bytes of key id and 64 of signature.
tail -n +$((end + 1)) "$1" | awk -v name="$name" '$1 == "—" && $2 == name { print $3; exit }' | openssl base64 -d -A | tail -c +5 > "$folder/signature"
# The key: a fixed DER head for Ed25519, and the 32 bytes after the type.
{ printf '\060\052\060\005\006\003\053\145\160\003\041\000'; printf %s "$material" | openssl base64 -d -A | tail -c +2; } > "$folder/key"
openssl pkeyutl -verify -pubin -keyform DER -inkey "$folder/key" -rawin -in "$folder/text" -sigfile "$folder/signature"
