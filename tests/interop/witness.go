package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

const witnessName = "witness.example/go"

// witness remembers the latest tree of one log, and cosigns what continues it.
type witness struct {
	logKey string
	key    ed25519.PrivateKey
	id     uint32
	mutex  sync.Mutex
	latest tlog.Tree
}

func serveWitness(logKey string) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	material := append([]byte{4}, public...)
	hash := sha256.Sum256(append([]byte(witnessName+"\n"), material...))
	id := binary.BigEndian.Uint32(hash[:4])
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	vkey := fmt.Sprintf("%s+%08x+%s", witnessName, id, base64.StdEncoding.EncodeToString(material))
	fmt.Printf("http://%s/w1#%s\n", listener.Addr(), vkey)
	http.Handle("POST /w1/add-checkpoint", &witness{logKey: logKey, key: private, id: id})
	return http.Serve(listener, nil)
}

func (w *witness) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(io.LimitReader(request.Body, 1<<20))
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	head, signed, found := strings.Cut(string(body), "\n\n")
	lines := strings.Split(head, "\n")
	old, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "old "), 10, 64)
	if err != nil || !found {
		http.Error(response, "not a request", http.StatusBadRequest)
		return
	}
	var proof tlog.TreeProof
	for _, line := range lines[1:] {
		hash, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(hash) != tlog.HashSize {
			http.Error(response, "not a proof", http.StatusBadRequest)
			return
		}
		proof = append(proof, tlog.Hash(hash))
	}
	checkpoint, err := openCheckpoint([]byte(signed), w.logKey)
	if err != nil {
		http.Error(response, err.Error(), http.StatusForbidden)
		return
	}
	tree := checkpoint.tree
	w.mutex.Lock()
	defer w.mutex.Unlock()
	switch {
	case old > tree.N:
		http.Error(response, "old is larger", http.StatusBadRequest)
		return
	case old != w.latest.N:
		response.Header().Set("Content-Type", "text/x.tlog.size")
		response.WriteHeader(http.StatusConflict)
		fmt.Fprintf(response, "%d\n", w.latest.N)
		return
	case old == 0 && len(proof) > 0, old == tree.N && (len(proof) > 0 || old > 0 && tree.Hash != w.latest.Hash):
		http.Error(response, "not consistent", http.StatusUnprocessableEntity)
		return
	case old > 0 && old < tree.N:
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, old, w.latest.Hash); err != nil {
			http.Error(response, err.Error(), http.StatusUnprocessableEntity)
			return
		}
	}
	w.latest = tree
	text, _, _ := strings.Cut(signed, "\n\n")
	now := uint64(time.Now().Unix())
	statement := fmt.Sprintf("cosignature/v1\ntime %d\n%s\n", now, text)
	signature := binary.BigEndian.AppendUint32(nil, w.id)
	signature = binary.BigEndian.AppendUint64(signature, now)
	signature = append(signature, ed25519.Sign(w.key, []byte(statement))...)
	fmt.Fprintf(response, "\u2014 %s %s\n", witnessName, base64.StdEncoding.EncodeToString(signature))
}
