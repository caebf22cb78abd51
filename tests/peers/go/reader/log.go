package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/tessera/api"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The height of tiles that C2SP tlog-tiles prescribes, and so their width.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// readLog reads a served log as a client of the Go checksum database does: its root out of its tiles, leaves and their
// inclusion, and that it continues an older checkpoint.
func readLog(args []string) (any, error) {
	if err := arguments(args, 4, false); err != nil {
		return nil, err
	}
	source, err := newSource(args[0], args[2])
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(args[1])
	if err != nil {
		return nil, err
	}
	text, err := source.read("checkpoint")
	if err != nil {
		return nil, err
	}
	now, err := parseCheckpoint(text, verifier)
	if err != nil {
		return nil, err
	}
	text, err = os.ReadFile(args[3])
	if err != nil {
		return nil, err
	}
	older, err := parseCheckpoint(text, verifier)
	if err != nil {
		return nil, fmt.Errorf("the older checkpoint: %w", err)
	}
	hashes := tlog.TileHashReader(now, source)
	root, err := tlog.TreeHash(now.N, hashes)
	if err != nil {
		return nil, err
	}
	if root != now.Hash {
		return nil, fmt.Errorf("the tiles give the root %v, the checkpoint says %v", root, now.Hash)
	}
	if err := checkGrowth(older, now, hashes); err != nil {
		return nil, err
	}
	for _, arg := range args[4:] {
		index, err := strconv.ParseInt(arg, 10, 64)
		if err != nil {
			return nil, err
		}
		if err := checkLeaf(source, now, index, hashes); err != nil {
			return nil, fmt.Errorf("leaf %d: %w", index, err)
		}
	}
	return map[string]any{
		"size": now.N, "root": base64.StdEncoding.EncodeToString(root[:]), "continues": older.N, "leaves": len(args) - 4,
		"tiles": source.tiles,
	}, nil
}

func parseCheckpoint(text []byte, verifier note.Verifier) (tlog.Tree, error) {
	checkpoint, _, _, err := log.ParseCheckpoint(text, verifier.Name(), verifier)
	if err != nil {
		return tlog.Tree{}, err
	}
	if len(checkpoint.Hash) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("a root of %d bytes", len(checkpoint.Hash))
	}
	return tlog.Tree{N: int64(checkpoint.Size), Hash: tlog.Hash(checkpoint.Hash)}, nil
}

func checkGrowth(older, now tlog.Tree, hashes tlog.HashReader) error {
	proof, err := tlog.ProveTree(now.N, older.N, hashes)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(proof, now.N, now.Hash, older.N, older.Hash); err != nil {
		return fmt.Errorf("size %d does not continue size %d: %w", now.N, older.N, err)
	}
	return nil
}

func checkLeaf(source *source, tree tlog.Tree, index int64, hashes tlog.HashReader) error {
	entry, err := source.entry(tree.N, index)
	if err != nil {
		return err
	}
	proof, err := tlog.ProveRecord(tree.N, index, hashes)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry))
}

// source is a log over HTTP, or in a folder (file://). It is the tlog.TileReader of its tiles.
type source struct {
	base  *url.URL
	token string
	http  *http.Client
	tiles map[int]int // how many tiles were read, by level
}

func newSource(base, token string) (*source, error) {
	parsed, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	return &source{base: parsed, token: token, http: &http.Client{Timeout: 20 * time.Second}, tiles: map[int]int{}}, nil
}

func (s *source) read(path string) ([]byte, error) {
	if s.base.Scheme == "file" {
		return os.ReadFile(filepath.Join(s.base.Path, path))
	}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.base.JoinPath(path).String(), nil)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(path, "tile/entries/") {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	response, err := s.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, response.Status, body)
	}
	return body, err
}

// Height is part of tlog.TileReader.
func (s *source) Height() int { return tileHeight }

// SaveTiles is part of tlog.TileReader; this reader forgets.
func (s *source) SaveTiles([]tlog.Tile, [][]byte) {}

// ReadTiles is part of tlog.TileReader. The checksum database names the height in its paths, C2SP does not.
func (s *source) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		s.tiles[tile.L]++
		data, err := s.read(strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

// entry reads one entry out of the bundle that it has in a tree of this size.
func (s *source) entry(size, index int64) ([]byte, error) {
	tile := tlog.Tile{H: tileHeight, N: index / tileWidth, W: int(min(tileWidth, size-index/tileWidth*tileWidth))}
	data, err := s.read(strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1))
	if err != nil {
		return nil, err
	}
	var bundle api.EntryBundle
	if err := bundle.UnmarshalText(data); err != nil {
		return nil, err
	}
	if len(bundle.Entries) != tile.W {
		return nil, fmt.Errorf("a bundle of %d entries, not %d", len(bundle.Entries), tile.W)
	}
	return bundle.Entries[index%tileWidth], nil
}
