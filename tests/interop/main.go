// Command interop checks the evidence that aegis gives with somebody else's code, the packages of Go's own checksum database
// (golang.org/x/mod/sumdb/note and tlog), and makes evidence of that kind for aegis to check.
//
//	interop bundle DIR VKEY      an unpacked bundle: its checkpoint, and every leaf by a proof that is made from its tiles
//	interop receipt FILE VKEY    every proof of a receipt
//	interop make DIR             a signed checkpoint (note, vkey) and proofs of all kinds (proofs.json)
//	interop sign KEYFILE TEXT    TEXT as a note, signed with a key file
//	interop witness VKEY         a c2sp.org/tlog-witness of that log; prints its URL#VKEY and serves until it is killed
package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "bundle":
		return checkBundle(args[1], args[2])
	case len(args) == 3 && args[0] == "receipt":
		return checkReceipt(args[1], args[2])
	case len(args) == 2 && args[0] == "make":
		return makeEvidence(args[1])
	case len(args) == 3 && args[0] == "sign":
		return signText(args[1], args[2])
	}
	if len(args) == 2 && args[0] == "witness" {
		return serveWitness(args[1])
	}
	return errors.New("usage: interop bundle DIR VKEY | receipt FILE VKEY | make DIR | sign KEYFILE TEXT | witness VKEY")
}

// checkpoint is what a c2sp.org/tlog-checkpoint says.
type checkpoint struct {
	origin string
	tree   tlog.Tree
}

// openCheckpoint verifies a signed checkpoint with the note package alone.
func openCheckpoint(text []byte, vkey string) (checkpoint, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return checkpoint{}, err
	}
	opened, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return checkpoint{}, err
	}
	lines := strings.Split(strings.TrimSuffix(opened.Text, "\n"), "\n")
	if len(lines) != 3 {
		return checkpoint{}, fmt.Errorf("the checkpoint has %d lines", len(lines))
	}
	if lines[0] != verifier.Name() {
		return checkpoint{}, fmt.Errorf("the origin is %q, and the key is named %q", lines[0], verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return checkpoint{}, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return checkpoint{}, fmt.Errorf("the root is no hash: %v", err)
	}
	return checkpoint{lines[0], tlog.Tree{N: size, Hash: tlog.Hash(root)}}, nil
}

// tiles reads the tiles of an unpacked bundle, by the paths of c2sp.org/tlog-tiles.
type tiles struct{ dir string }

func (t tiles) Height() int { return 8 }

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range wanted {
		data, err := os.ReadFile(tilePath(t.dir, strconv.Itoa(tile.L), tile.N, tile.W))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func tilePath(dir, level string, number int64, width int) string {
	path := fmt.Sprintf("%03d", number%1000)
	for number >= 1000 {
		number /= 1000
		path = fmt.Sprintf("x%03d/%s", number%1000, path)
	}
	if width < 256 {
		path += fmt.Sprintf(".p/%d", width)
	}
	return filepath.Join(dir, "tile", level, path)
}

func checkBundle(dir, vkey string) error {
	text, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return err
	}
	checkpoint, err := openCheckpoint(text, vkey)
	if err != nil {
		return err
	}
	tree := checkpoint.tree
	reader := tlog.TileHashReader(tree, tiles{dir})
	for first := int64(0); first < tree.N; first += 256 {
		width := min(256, tree.N-first)
		entries, err := os.ReadFile(tilePath(dir, "entries", first/256, int(width)))
		if err != nil {
			return err
		}
		for index := first; index < first+width; index++ {
			if len(entries) < 2 {
				return fmt.Errorf("entry %d is missing", index)
			}
			length := int(binary.BigEndian.Uint16(entries))
			data := entries[2 : 2+length]
			entries = entries[2+length:]
			proof, err := tlog.ProveRecord(tree.N, index, reader)
			if err != nil {
				return fmt.Errorf("entry %d: %w", index, err)
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(data)); err != nil {
				return fmt.Errorf("entry %d: %w", index, err)
			}
		}
		if len(entries) != 0 {
			return fmt.Errorf("there are %d bytes too many in a bundle of entries", len(entries))
		}
	}
	for size := int64(1); size < tree.N; size += max(1, tree.N/50) {
		root, err := tlog.TreeHash(size, reader)
		if err != nil {
			return err
		}
		proof, err := tlog.ProveTree(tree.N, size, reader)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, size, root); err != nil {
			return fmt.Errorf("the tree of %d: %w", size, err)
		}
	}
	fmt.Printf("%s: %d entries\n", checkpoint.origin, tree.N)
	return nil
}

const proofHeader = "c2sp.org/tlog-proof@v1\n"

func checkReceipt(file, vkey string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	proofs := strings.Split(string(text), proofHeader)
	if proofs[0] != "" || len(proofs) == 1 {
		return errors.New("not a c2sp.org/tlog-proof")
	}
	for _, proof := range proofs[1:] {
		if err := checkProof(proof, vkey); err != nil {
			return err
		}
	}
	fmt.Printf("%d proofs\n", len(proofs)-1)
	return nil
}

func checkProof(proof, vkey string) error {
	head, signed, found := strings.Cut(proof, "\n\n")
	if !found {
		return errors.New("no empty line ends the proof")
	}
	checkpoint, err := openCheckpoint([]byte(signed), vkey)
	if err != nil {
		return err
	}
	lines := strings.Split(head, "\n")
	extra, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[0], "extra "))
	if err != nil {
		return err
	}
	var entry struct {
		Payload json.RawMessage
		Salt    string
	}
	if err := json.Unmarshal(extra, &entry); err != nil {
		return err
	}
	salt := make([]byte, 16)
	if _, err := fmt.Sscanf(entry.Salt, "%x", &salt); err != nil {
		return err
	}
	data := sha256.New()
	data.Write([]byte("aegis/record/v1\x00"))
	data.Write(salt)
	data.Write(entry.Payload)
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	if err != nil {
		return err
	}
	var path tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(hash) != tlog.HashSize {
			return fmt.Errorf("%q is no hash", line)
		}
		path = append(path, tlog.Hash(hash))
	}
	return tlog.CheckRecord(path, checkpoint.tree.N, checkpoint.tree.Hash, index, tlog.RecordHash(data.Sum(nil)))
}

// hashes are all stored hashes of a tree in memory.
type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var found []tlog.Hash
	for _, index := range indexes {
		found = append(found, h[index])
	}
	return found, nil
}

// proved is a proof for aegis to check: of a leaf where Leaf is there, else that one tree is the beginning of another.
type proved struct {
	Leaf    *tlog.Hash  `json:"leaf,omitempty"`
	Index   int64       `json:"index"`
	Size    int64       `json:"size"`
	Root    tlog.Hash   `json:"root"`
	Old     int64       `json:"old"`
	OldRoot *tlog.Hash  `json:"old_root,omitempty"`
	Hashes  []tlog.Hash `json:"hashes"`
}

func makeEvidence(dir string) error {
	const leaves = 300
	var stored hashes
	for n := range int64(leaves) {
		more, err := tlog.StoredHashes(n, fmt.Appendf(nil, "leaf %d", n), stored)
		if err != nil {
			return err
		}
		stored = append(stored, more...)
	}
	var all []proved
	for _, size := range []int64{1, 2, 3, 7, 8, 9, 255, 256, 257, leaves} {
		root, err := tlog.TreeHash(size, stored)
		if err != nil {
			return err
		}
		for _, index := range []int64{0, 1, size / 2, size - 1} {
			if index >= size {
				continue
			}
			leaf := tlog.RecordHash(fmt.Appendf(nil, "leaf %d", index))
			proof, err := tlog.ProveRecord(size, index, stored)
			if err != nil {
				return err
			}
			all = append(all, proved{Leaf: &leaf, Index: index, Size: size, Root: root, Hashes: proof})
		}
		for _, old := range []int64{1, 2, size/2 + 1, size} {
			if old > size {
				continue
			}
			oldRoot, err := tlog.TreeHash(old, stored)
			if err != nil {
				return err
			}
			proof, err := tlog.ProveTree(size, old, stored)
			if err != nil {
				return err
			}
			all = append(all, proved{Old: old, OldRoot: &oldRoot, Size: size, Root: root, Hashes: proof})
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	private, vkey, err := note.GenerateKey(rand.Reader, "example.com/go")
	if err != nil {
		return err
	}
	root, err := tlog.TreeHash(leaves, stored)
	if err != nil {
		return err
	}
	signed, err := sign(private, fmt.Sprintf("example.com/go\n%d\n%s\n", leaves, root))
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"proofs.json": text, "vkey": []byte(vkey), "note": signed, "key": []byte(private)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func sign(private, text string) ([]byte, error) {
	signer, err := note.NewSigner(private)
	if err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: text}, signer)
}

func signText(keyFile, text string) error {
	private, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	signed, err := sign(strings.TrimSpace(string(private)), text+"\n")
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(signed)
	return err
}
