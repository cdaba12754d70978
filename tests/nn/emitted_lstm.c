void forward(const int64_t *number, void *const *pointer) {
  const int64_t T = number[0]; (void)T;
  const int64_t B = number[1]; (void)B;
  const int64_t U0 = number[2]; (void)U0;
  const int64_t w_p = number[3]; (void)w_p;
  const int64_t w_s0 = number[4]; (void)w_s0;
  const int64_t w_s1 = number[5]; (void)w_s1;
  const int64_t w_c0 = number[6]; (void)w_c0;
  const int64_t w_q0 = number[7]; (void)w_q0;
  const int64_t rs_0 = number[8]; (void)rs_0;
  const int64_t cs_0 = number[9]; (void)cs_0;
  multiply mul; packing pack; memcpy(&mul, &pointer[0], sizeof mul); memcpy(&pack, &pointer[1], sizeof pack); (void)mul; (void)pack;
  real *p = pointer[2]; (void)p;
  real *s0 = pointer[3]; (void)s0;
  real *os0 = pointer[4]; (void)os0;
  real *s1 = pointer[5]; (void)s1;
  real *os1 = pointer[6]; (void)os1;
  real *c0 = pointer[7]; (void)c0;
  real *c1 = pointer[8]; (void)c1;
  real *q0 = pointer[9]; (void)q0;
  real *g0 = pointer[10]; (void)g0;
  pack(w_q0, w_s0, c1, rs_0, cs_0, g0);
  for (int64_t t = 0; t < T; t++) {
    mul(B, w_q0, w_s0, (t ? s0 + (t - 1) * B * w_s0 : os0), w_s0, 1, g0, q0 + t * B * w_q0, w_q0, 0);
    for (int64_t b = 0; b < B; b++) {
      real *const q0_ = q0 + (t * B + b) * w_q0;
      real *const s1_ = (t ? s1 + ((t - 1) * B + b) * w_s1 : os1 + b * w_s1);
      real *const c0_ = c0;
      real *const p_ = p + (t * B + b) * w_p;
      real *const s0n_ = s0 + (t * B + b) * w_s0;
      real *const s1n_ = s1 + (t * B + b) * w_s1;
#pragma GCC ivdep
      for (int64_t j = 0; j < U0; j++) {
        const real v0 = c0_[2 * U0 + j];
        const real v1 = q0_[2 * U0 + j];
        const real v2 = v1 + v0;
        const real v3 = p_[2 * U0 + j];
        const real v4 = v3 + v2;
        const real v5 = c0_[0 * U0 + j];
        const real v6 = q0_[0 * U0 + j];
        const real v7 = v6 + v5;
        const real v8 = p_[0 * U0 + j];
        const real v9 = v8 + v7;
        const real v10 = c0_[1 * U0 + j];
        const real v11 = q0_[1 * U0 + j];
        const real v12 = v11 + v10;
        const real v13 = p_[1 * U0 + j];
        const real v14 = v13 + v12;
        const real v15 = c0_[3 * U0 + j];
        const real v16 = q0_[3 * U0 + j];
        const real v17 = v16 + v15;
        const real v18 = p_[3 * U0 + j];
        const real v19 = v18 + v17;
        q0_[2 * U0 + j] = v4;
        q0_[0 * U0 + j] = v9;
        q0_[1 * U0 + j] = v14;
        q0_[3 * U0 + j] = v19;
        const real v20 = k_tanh(v4);
        const real v21 = k_sigmoid(v9);
        const real v22 = v21 * v20;
        const real v23 = s1_[0 * U0 + j];
        const real v24 = k_sigmoid(v14);
        const real v25 = v24 * v23;
        const real v26 = v25 + v22;
        const real v27 = k_tanh(v26);
        const real v28 = k_sigmoid(v19);
        const real v29 = v28 * v27;
        s0n_[0 * U0 + j] = v29;
        s1n_[0 * U0 + j] = v26;
      }
    }
  }
}
void backward(const int64_t *number, void *const *pointer) {
  const int64_t T = number[0]; (void)T;
  const int64_t B = number[1]; (void)B;
  const int64_t U0 = number[2]; (void)U0;
  const int64_t w_p = number[3]; (void)w_p;
  const int64_t w_s0 = number[4]; (void)w_s0;
  const int64_t w_s1 = number[5]; (void)w_s1;
  const int64_t w_c0 = number[6]; (void)w_c0;
  const int64_t w_q0 = number[7]; (void)w_q0;
  const int64_t rs_0 = number[8]; (void)rs_0;
  const int64_t cs_0 = number[9]; (void)cs_0;
  multiply mul; packing pack; memcpy(&mul, &pointer[0], sizeof mul); memcpy(&pack, &pointer[1], sizeof pack); (void)mul; (void)pack;
  real *p = pointer[2]; (void)p;
  real *s0 = pointer[3]; (void)s0;
  real *os0 = pointer[4]; (void)os0;
  real *s1 = pointer[5]; (void)s1;
  real *os1 = pointer[6]; (void)os1;
  real *c0 = pointer[7]; (void)c0;
  real *c1 = pointer[8]; (void)c1;
  real *q0 = pointer[9]; (void)q0;
  real *dy = pointer[10]; (void)dy;
  real *e0 = pointer[11]; (void)e0;
  real *e1 = pointer[12]; (void)e1;
  real *dq0 = pointer[13]; (void)dq0;
  real *d0 = pointer[14]; (void)d0;
  real *d1 = pointer[15]; (void)d1;
  real *g0 = pointer[16]; (void)g0;
  real *rc0 = pointer[17]; (void)rc0;
  real *tc0 = pointer[18]; (void)tc0;
  pack(w_s0, w_q0, c1, cs_0, rs_0, g0);
  for (int64_t t = T; t-- > 0;) {
    memset(e0, 0, sizeof(real) * B * w_s0);
    memset(tc0, 0, sizeof(real) * w_c0);
    for (int64_t b = 0; b < B; b++) {
      real *const q0_ = q0 + (t * B + b) * w_q0;
      real *const s1_ = (t ? s1 + ((t - 1) * B + b) * w_s1 : os1 + b * w_s1);
      real *const dy_ = dy + (t * B + b) * w_s0;
      real *const d0_ = d0 + b * w_s0;
      real *const d1_ = d1 + b * w_s1;
      real *const dq0_ = dq0 + (t * B + b) * w_q0;
      real *const e1_ = e1 + b * w_s1;
      real *const tc0_ = tc0;
#pragma GCC ivdep
      for (int64_t j = 0; j < U0; j++) {
        const real v0 = q0_[3 * U0 + j];
        const real v1 = k_sigmoid(v0);
        const real v3 = ((real)1.0) - v1;
        const real v4 = v1 * v3;
        const real v5 = q0_[2 * U0 + j];
        const real v6 = k_tanh(v5);
        const real v7 = q0_[0 * U0 + j];
        const real v8 = k_sigmoid(v7);
        const real v9 = v8 * v6;
        const real v10 = s1_[0 * U0 + j];
        const real v11 = q0_[1 * U0 + j];
        const real v12 = k_sigmoid(v11);
        const real v13 = v12 * v10;
        const real v14 = v13 + v9;
        const real v15 = k_tanh(v14);
        const real v16 = dy_[0 * U0 + j];
        const real v17 = d0_[0 * U0 + j];
        const real v18 = v17 + v16;
        const real v19 = v18 * v15;
        const real v20 = v19 * v4;
        const real v21 = ((real)1.0) - v12;
        const real v22 = v12 * v21;
        const real v23 = v15 * v15;
        const real v24 = ((real)1.0) - v23;
        const real v25 = v18 * v1;
        const real v26 = v25 * v24;
        const real v27 = d1_[0 * U0 + j];
        const real v28 = v27 + v26;
        const real v29 = v28 * v10;
        const real v30 = v29 * v22;
        const real v31 = v28 * v12;
        const real v32 = ((real)1.0) - v8;
        const real v33 = v8 * v32;
        const real v34 = v28 * v6;
        const real v35 = v34 * v33;
        const real v36 = v6 * v6;
        const real v37 = ((real)1.0) - v36;
        const real v38 = v28 * v8;
        const real v39 = v38 * v37;
        dq0_[3 * U0 + j] = v20;
        dq0_[1 * U0 + j] = v30;
        e1_[0 * U0 + j] = v31;
        dq0_[0 * U0 + j] = v35;
        dq0_[2 * U0 + j] = v39;
        tc0_[2 * U0 + j] += v39;
        tc0_[0 * U0 + j] += v35;
        tc0_[1 * U0 + j] += v30;
        tc0_[3 * U0 + j] += v20;
      }
    }
    mul(B, w_s0, w_q0, dq0 + t * B * w_q0, w_q0, 1, g0, e0, w_s0, 1);
    for (int64_t j = 0; j < w_c0; j++) rc0[j] += tc0[j];
    { real *const x = d0; d0 = e0; e0 = x; }
    { real *const x = d1; d1 = e1; e1 = x; }
  }
}
