// Checks logs that Collegium wrote with Go's own sumdb/note and sumdb/tlog; no code of Collegium runs here.
//
// Standard input is one JSON job a line; each line is answered by "ok <size>" or "bad <size>: <why>". The exit code is 1 if any was bad.
package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type job struct {
	Folder      string        // a log's folder: tile/...
	Log         string        // vkey of the log
	Cosigner    string        // vkey of a witness, empty for none
	Statements  string        // vkey that signed every entry, empty when entries are no notes
	Checkpoint  string        // the note
	Inclusion   []inclusion   // our proofs
	Consistency []consistency // our proofs
	Bundles     bool          // read and hash every entry
}

type inclusion struct {
	Index int64
	Path  []tlog.Hash
}

type consistency struct {
	Old  int64
	Root tlog.Hash
	Path []tlog.Hash
}

// cosigner verifies a cosignature line: eight bytes of time and a signature over "cosignature/v1", the time and the checkpoint.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }
func (c cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 72 {
		return false
	}
	header := fmt.Sprintf("cosignature/v1\ntime %d\n", binary.BigEndian.Uint64(sig))
	return ed25519.Verify(c.key, append([]byte(header), msg...), sig[8:])
}

func newCosigner(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("not a vkey")
	}
	raw, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(raw) != 33 || raw[0] != 4 {
		return nil, errors.New("not a cosigner key")
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), raw...))
	if fmt.Sprintf("%x", sum[:4]) != parts[1] {
		return nil, errors.New("another key id")
	}
	return cosigner{parts[0], binary.BigEndian.Uint32(sum[:4]), ed25519.PublicKey(raw[1:])}, nil
}

// tiles reads C2SP tlog-tiles, whose paths are Go's without the height.
type tiles struct{ folder string }

func (t tiles) Height() int                         { return 8 }
func (t tiles) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range wanted {
		data, err := os.ReadFile(filepath.Join(t.folder, path(tile)))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func path(tile tlog.Tile) string {
	path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
	return strings.Replace(path, "tile/data/", "tile/entries/", 1)
}

func check(j job) (int64, error) {
	// The checkpoint: signed by the log and, if there is a witness, cosigned.
	log, err := note.NewVerifier(j.Log)
	if err != nil {
		return 0, err
	}
	signers, need := []note.Verifier{log}, 1
	if j.Cosigner != "" {
		witness, err := newCosigner(j.Cosigner)
		if err != nil {
			return 0, err
		}
		signers, need = append(signers, witness), 2
	}
	opened, err := note.Open([]byte(j.Checkpoint), note.VerifierList(signers...))
	if err != nil {
		return 0, err
	}
	if len(opened.Sigs) != need {
		return 0, fmt.Errorf("%d signatures of %d", len(opened.Sigs), need)
	}
	// Go's own parser of tree heads wants another first line and the same two below it.
	lines := strings.SplitN(opened.Text, "\n", 2)
	if lines[0] != log.Name() {
		return 0, errors.New("another origin")
	}
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + lines[1]))
	if err != nil {
		return 0, err
	}
	if tree.N == 0 {
		empty := sha256.Sum256(nil)
		if tree.Hash != tlog.Hash(empty) {
			return 0, errors.New("another root of the empty tree")
		}
		return 0, nil
	}
	// The tiles: TileHashReader authenticates every tile that it reads against the tree head.
	reader := tlog.TileHashReader(tree, tiles{j.Folder})
	if root, err := tlog.TreeHash(tree.N, reader); err != nil || root != tree.Hash {
		return tree.N, fmt.Errorf("root from tiles: %v", err)
	}
	all := tlog.NewTiles(8, 0, tree.N)
	for i, tile := range all {
		if i+1 < len(all) && all[i+1].L == tile.L && all[i+1].N == tile.N {
			continue // Go lists every width up to the one there is
		}
		want, err := tlog.ReadTileData(tile, reader)
		if err != nil {
			return tree.N, err
		}
		found, err := os.ReadFile(filepath.Join(j.Folder, path(tile)))
		if err != nil || !bytes.Equal(found, want) {
			return tree.N, fmt.Errorf("tile %s: %v", path(tile), err)
		}
	}
	// Our proofs verify, and are hash for hash those that Go makes from our tiles.
	for _, p := range j.Inclusion {
		leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, p.Index)})
		if err != nil {
			return tree.N, err
		}
		if err := tlog.CheckRecord(p.Path, tree.N, tree.Hash, p.Index, leaf[0]); err != nil {
			return tree.N, fmt.Errorf("inclusion of %d: %v", p.Index, err)
		}
		own, err := tlog.ProveRecord(tree.N, p.Index, reader)
		if err != nil || !same(own, p.Path) {
			return tree.N, fmt.Errorf("Go's inclusion of %d differs: %v", p.Index, err)
		}
	}
	for _, p := range j.Consistency {
		if err := tlog.CheckTree(p.Path, tree.N, tree.Hash, p.Old, p.Root); err != nil {
			return tree.N, fmt.Errorf("consistency from %d: %v", p.Old, err)
		}
		own, err := tlog.ProveTree(tree.N, p.Old, reader)
		if err != nil || !same(own, p.Path) {
			return tree.N, fmt.Errorf("Go's consistency from %d differs: %v", p.Old, err)
		}
	}
	if j.Bundles {
		return tree.N, entries(j, tree.N, reader)
	}
	return tree.N, nil
}

// entries reads every bundle: each entry has the leaf hash of the tiles and, where a key is given, is a note signed by it.
func entries(j job, size int64, reader tlog.HashReader) error {
	var signer note.Verifiers
	if j.Statements != "" {
		verifier, err := note.NewVerifier(j.Statements)
		if err != nil {
			return err
		}
		signer = note.VerifierList(verifier)
	}
	for first := int64(0); first < size; first += 256 {
		tile := tlog.Tile{H: 8, L: -1, N: first / 256, W: 256}
		if size-first < 256 {
			tile.W = int(size - first)
		}
		data, err := os.ReadFile(filepath.Join(j.Folder, path(tile)))
		if err != nil {
			return err
		}
		indexes := make([]int64, tile.W)
		for i := range indexes {
			indexes[i] = tlog.StoredHashIndex(0, first+int64(i))
		}
		leaves, err := reader.ReadHashes(indexes)
		if err != nil {
			return err
		}
		for i := int64(0); i < int64(tile.W); i++ {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				return fmt.Errorf("bundle %s is cut off", path(tile))
			}
			end := 2 + int(binary.BigEndian.Uint16(data))
			entry := data[2:end]
			data = data[end:]
			if leaves[i] != tlog.RecordHash(entry) {
				return fmt.Errorf("entry %d has another hash", first+i)
			}
			if signer != nil {
				if _, err := note.Open(entry, signer); err != nil {
					return fmt.Errorf("entry %d: %v", first+i, err)
				}
			}
		}
		if len(data) != 0 {
			return fmt.Errorf("bundle %s is too long", path(tile))
		}
	}
	return nil
}

func same(one, other []tlog.Hash) bool {
	if len(one) != len(other) {
		return false
	}
	for i := range one {
		if one[i] != other[i] {
			return false
		}
	}
	return true
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	bad := false
	for in.Scan() {
		var j job
		if err := json.Unmarshal(in.Bytes(), &j); err != nil {
			fmt.Println("bad job:", err)
			os.Exit(1)
		}
		size, err := check(j)
		if err != nil {
			bad = true
			fmt.Printf("bad %d: %v\n", size, err)
		} else {
			fmt.Printf("ok %d\n", size)
		}
	}
	if bad || in.Err() != nil {
		os.Exit(1)
	}
}
