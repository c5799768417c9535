package bus

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
)

// Vault keeps whole values of any size by name, on JetStream's disk: the last snapshot of
// each origin that survives a restart. A value is replaced whole or not at all. Any
// goroutine may use it.
type Vault struct {
	js     nats.JetStreamContext
	config nats.ObjectStoreConfig
}

// Vault opens the vault of that name; it is made by the first Save.
func (c *Conn) Vault(name string, file bool, replicas int) (*Vault, error) {
	js, err := c.jetStream()
	if err != nil {
		return nil, err
	}
	return &Vault{js, nats.ObjectStoreConfig{Bucket: name, Storage: storage(file), Replicas: max(replicas, 1)}}, nil
}

func (v *Vault) open(create bool) (nats.ObjectStore, error) {
	store, err := v.js.ObjectStore(v.config.Bucket)
	if errors.Is(err, nats.ErrStreamNotFound) && create {
		store, err = v.js.CreateObjectStore(&v.config)
	}
	if err != nil {
		return nil, fmt.Errorf("vault %s: %w", v.config.Bucket, err)
	}
	return store, nil
}

// chunkSize is that of a message of a value.
const chunkSize = 128 << 10

// Save keeps a value. It writes as NATS's object stores are laid out (ADR-20 of its architecture): the value in
// chunks under an id of its own, then the entry that names the id, then the chunks of the value before go. Each
// message waits for its acknowledgement: what the library does for this may leave a goroutine behind.
func (v *Vault) Save(ctx context.Context, name string, data []byte) error {
	store, err := v.open(true)
	if err != nil {
		return err
	}
	wrap := func(err error) error { return fmt.Errorf("vault %s, %q: %w", v.config.Bucket, name, err) }
	before, err := store.GetInfo(name, nats.Context(ctx))
	if err != nil && !errors.Is(err, nats.ErrObjectNotFound) {
		return wrap(err)
	}
	prefix := "$O." + v.config.Bucket
	sum := sha256.Sum256(data)
	info := nats.ObjectInfo{
		ObjectMeta: nats.ObjectMeta{Name: name, Opts: &nats.ObjectMetaOptions{ChunkSize: chunkSize}},
		Bucket:     v.config.Bucket, NUID: rand.Text(), Size: uint64(len(data)),
		Digest: "SHA-256=" + base64.URLEncoding.EncodeToString(sum[:]),
	}
	for rest := data; len(rest) > 0; info.Chunks++ {
		n := min(len(rest), chunkSize)
		if _, err := v.js.Publish(prefix+".C."+info.NUID, rest[:n], nats.Context(ctx)); err != nil {
			return wrap(errors.Join(err, v.purge(info.NUID)))
		}
		rest = rest[n:]
	}
	entry := nats.NewMsg(prefix + ".M." + base64.URLEncoding.EncodeToString([]byte(name)))
	entry.Header.Set(nats.MsgRollup, nats.MsgRollupSubject)
	if entry.Data, err = json.Marshal(info); err != nil {
		return wrap(err)
	}
	if _, err := v.js.PublishMsg(entry, nats.Context(ctx)); err != nil {
		return wrap(err) // it may have arrived: the chunks stay
	}
	if before != nil {
		if err := v.purge(before.NUID); err != nil {
			return wrap(err)
		}
	}
	return nil
}

// purge removes the chunks of a value.
func (v *Vault) purge(id string) error {
	chunks := &nats.StreamPurgeRequest{Subject: "$O." + v.config.Bucket + ".C." + id}
	if err := v.js.PurgeStream("OBJ_"+v.config.Bucket, chunks); err != nil {
		return fmt.Errorf("old chunks: %w", err)
	}
	return nil
}

// Delete forgets a value; one that is not there is no error.
func (v *Vault) Delete(name string) error {
	store, err := v.open(false)
	if errors.Is(err, nats.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := store.Delete(name); err != nil && !errors.Is(err, nats.ErrObjectNotFound) {
		return fmt.Errorf("vault %s, %q: %w", v.config.Bucket, name, err)
	}
	return nil
}

// Load hands over every value. One that cannot be read is passed with its error.
func (v *Vault) Load(ctx context.Context, each func(name string, data []byte, err error)) error {
	store, err := v.open(false)
	if errors.Is(err, nats.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	list, err := store.List(nats.Context(ctx))
	if errors.Is(err, nats.ErrNoObjectsFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("vault %s: %w", v.config.Bucket, err)
	}
	for _, info := range list {
		data, err := store.GetBytes(info.Name, nats.Context(ctx))
		if err != nil {
			err = fmt.Errorf("vault %s, %q: %w", v.config.Bucket, info.Name, err)
		}
		each(info.Name, data, err)
	}
	return nil
}

// Bucket opens the key-value bucket of that name, which is made when it is not there.
func (c *Conn) Bucket(name string, file bool, replicas int) (nats.KeyValue, error) {
	js, err := c.jetStream()
	if err != nil {
		return nil, err
	}
	bucket, err := js.KeyValue(name)
	if errors.Is(err, nats.ErrBucketNotFound) {
		bucket, err = js.CreateKeyValue(&nats.KeyValueConfig{Bucket: name, Storage: storage(file), Replicas: max(replicas, 1)})
	}
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", name, err)
	}
	return bucket, nil
}
