package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/weft-net/weft/skydive"
)

// call is one REST call; its body can be sent again after a login.
type call struct {
	method string
	path   string
	body   []byte
	header http.Header
}

// send sends the call and gives an answer of status 2xx, whose body the caller closes. All else is an error.
func (c *Client) send(ctx context.Context, k call) (*http.Response, error) {
	token, err := c.ensureToken(ctx)
	if err != nil {
		return nil, err
	}
	res, err := c.try(ctx, k, token)
	if err == nil && res.StatusCode == http.StatusUnauthorized && c.cfg.Username != "" {
		closeBody(res)
		if token, err = c.renewToken(ctx, token); err != nil {
			return nil, err
		}
		res, err = c.try(ctx, k, token)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", k.method, k.path, cause(ctx, err))
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		defer closeBody(res)
		return nil, errorOf(k.method, k.path, res)
	}
	if c.cfg.OnWarning != nil {
		for _, warning := range res.Header.Values(skydive.HeaderWarning) {
			c.cfg.OnWarning(warning)
		}
	}
	return res, nil
}

// cause says why a context ended, where it is the context that ended a call, and drops the URL that net/http repeats.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		if why := context.Cause(ctx); why != nil {
			return why
		}
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// try does one round trip.
func (c *Client) try(ctx context.Context, k call, token string) (*http.Response, error) {
	var body io.Reader
	if k.body != nil {
		body = bytes.NewReader(k.body)
	}
	req, err := http.NewRequestWithContext(ctx, k.method, c.base.String()+k.path, body)
	if err != nil {
		return nil, err
	}
	for name, values := range k.header {
		for _, v := range values {
			req.Header.Add(name, v)
		}
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", skydive.ContentJSON)
	}
	if k.body != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", skydive.ContentJSON)
	}
	setToken(req.Header, token)
	return c.http.Do(req)
}

// setToken gives the token in both of the ways that a server may look for it.
func setToken(h http.Header, token string) {
	if token == "" {
		return
	}
	h.Set(skydive.HeaderAuthToken, token)
	h.Set("Cookie", (&http.Cookie{Name: skydive.CookieAuthToken, Value: token}).String())
}

// closeBody reads a little of what is left, so that the connection can be used again.
func closeBody(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10)
	_ = res.Body.Close()
}

// bytes sends the call and reads the answer, whatever Content-Type it claims: Skydive's claims are not to be trusted.
func (c *Client) bytes(ctx context.Context, k call) ([]byte, error) {
	ctx, cancel := c.withTimeout(ctx)
	defer cancel()
	res, err := c.send(ctx, k)
	if err != nil {
		return nil, err
	}
	defer closeBody(res)
	data, err := io.ReadAll(io.LimitReader(res.Body, c.cfg.MaxResponse+1))
	if err != nil {
		return nil, fmt.Errorf("%s %s: read the answer: %w", k.method, k.path, cause(ctx, err))
	}
	if int64(len(data)) > c.cfg.MaxResponse {
		return nil, fmt.Errorf("%s %s: %w: more than %d bytes; narrow the query or raise MaxResponse", k.method, k.path, ErrTooLarge, c.cfg.MaxResponse)
	}
	return data, nil
}

// stream sends the call and copies the answer to w as it comes.
func (c *Client) stream(ctx context.Context, k call, w io.Writer) (int64, error) {
	res, err := c.send(ctx, k)
	if err != nil {
		return 0, err
	}
	defer closeBody(res)
	n, err := io.Copy(w, res.Body)
	if err != nil {
		return n, fmt.Errorf("%s %s: copy the answer: %w", k.method, k.path, cause(ctx, err))
	}
	return n, nil
}

// decode sends the call and decodes the answer into v. An empty answer leaves v as it is.
func (c *Client) decode(ctx context.Context, k call, v any) error {
	data, err := c.bytes(ctx, k)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	if err := skydive.RawJSON(data).Decode(v); err != nil {
		return fmt.Errorf("%s %s: decode the answer: %w", k.method, k.path, err)
	}
	return nil
}

// encode makes a body.
func encode(k call, v any) (call, error) {
	body, err := skydive.Raw(v)
	if err != nil {
		return k, fmt.Errorf("%s %s: encode the body: %w", k.method, k.path, err)
	}
	k.body = body
	return k, nil
}

// below gives the path of something with an id below a path.
func below(path string, ids ...string) (string, error) {
	for _, id := range ids {
		if id == "" || id == "." || id == ".." {
			return "", fmt.Errorf("%s: %q is not an id", path, id)
		}
		path += "/" + url.PathEscape(id)
	}
	return path, nil
}

// Login logs in with the name and password of the configuration, whether or not there is a token, and gives what the
// user may do. Other calls log in by themselves.
func (c *Client) Login(ctx context.Context) (*skydive.LoginReply, error) {
	ctx, cancel := c.withTimeout(ctx)
	defer cancel()
	form := url.Values{skydive.FormUsername: {c.cfg.Username}, skydive.FormPassword: {c.cfg.Password}}.Encode()
	res, err := c.try(ctx, call{
		method: http.MethodPost, path: skydive.PathLogin, body: []byte(form),
		header: http.Header{"Content-Type": {skydive.ContentForm}},
	}, "")
	if err != nil {
		return nil, fmt.Errorf("log in: %w", cause(ctx, err))
	}
	defer closeBody(res)
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("log in as %q: %w", c.cfg.Username, errorOf(http.MethodPost, skydive.PathLogin, res))
	}
	reply := new(skydive.LoginReply)
	data, err := io.ReadAll(io.LimitReader(res.Body, maxErrorText))
	if err == nil && len(bytes.TrimSpace(data)) > 0 {
		err = skydive.RawJSON(data).Decode(reply)
	}
	for _, cookie := range res.Cookies() {
		if cookie.Name == skydive.CookieAuthToken && cookie.Value != "" {
			reply.Token, err = cookie.Value, nil // what older servers answer beside it is not always JSON
		}
	}
	if err != nil {
		return nil, fmt.Errorf("log in: decode the answer: %w", err)
	}
	if reply.Token == "" {
		return nil, errors.New("log in: the answer has neither token nor cookie; is this an analyzer?")
	}
	c.tokenMu.Lock()
	c.token = reply.Token
	c.tokenMu.Unlock()
	return reply, nil
}

func (c *Client) currentToken() string {
	c.tokenMu.Lock()
	defer c.tokenMu.Unlock()
	return c.token
}

// ensureToken logs in when there is a user and no token yet.
func (c *Client) ensureToken(ctx context.Context) (string, error) {
	if token := c.currentToken(); token != "" || c.cfg.Username == "" {
		return token, nil
	}
	return c.renewToken(ctx, "")
}

// renewToken logs in, unless another call has got a newer token than the refused one in the meantime.
func (c *Client) renewToken(ctx context.Context, refused string) (string, error) {
	c.loginMu.Lock()
	defer c.loginMu.Unlock()
	if token := c.currentToken(); token != refused {
		return token, nil
	}
	reply, err := c.Login(ctx)
	if err != nil {
		return "", err
	}
	return reply.Token, nil
}

// trimQuery makes a query one line, as logs and errors show it.
func trimQuery(q string) string { return strings.Join(strings.Fields(q), " ") }
