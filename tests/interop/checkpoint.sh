#!/bin/sh
# Verifies a checkpoint with OpenSSL 3 alone: checkpoint.sh FILE VKEY. No code of Collegium runs here.
#   FILE  the note; VKEY  the log's key as text: name+id+base64(type, 32 bytes)
set -eu
# Three lines, an empty one, signatures; the first line is the log's name, which is the key's.
[ "$(sed -n 4p "$1")" = "" ]
[ "$(sed -n '5,$p' "$1" | grep -c '^$')" = 0 ]
[ "$(head -n 1 "$1")" = "${2%%+*}" ]
exec "$(dirname "$0")/note.sh" "$1" "$2"
